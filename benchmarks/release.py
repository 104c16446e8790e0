"""Release: from a new month in the source's folder to its version released, beside plain fits and metrics.

The months before it stand in the lake already. The plain side fits the same candidates on the same rows,
as often as the graph needs them: each on train, the baselines and the best on train and validation.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from benchmarks.months import taxi_sources
from benchmarks.processes import ratio_of, refuse_different, run_process, seconds_of
from benchmarks.rows import Row
from perennial.settings import home_at

REPEATS = 3
LIMIT = 2.0


def run(first: str = "2023-05", before: str = "2023-11", new: str = "2023-12", *, repeats: int = REPEATS) -> list[Row]:
    """Time of the data and training assets of `new` over that of the fits."""
    graph, plain = [], []
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared"
        run_process("-m", "benchmarks.graph", "taxi_eta", first, before, "data", environment=_environment(prepared))
        for number in range(repeats):
            home = Path(folder) / str(number)
            shutil.copytree(prepared, home)
            environment = _environment(home)
            command = ("benchmarks.graph", "taxi_eta", new, new, "data", "training")
            graph.append(run_process("-m", *command, environment=environment))
            plain.append(run_process("-m", "benchmarks.plain.fits", "taxi_eta", new, environment=environment))
            refuse_different(graph[-1], plain[-1])
    ratio = ratio_of(seconds_of(graph), fits=seconds_of(plain))
    return [ratio.row("new month to release: time over fits", LIMIT)]


def _environment(root: Path) -> dict[str, str]:
    return home_at(root).environment | taxi_sources()
