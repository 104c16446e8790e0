"""Days: a year of delivery_eta, beside the plain script and the same graph with empty bodies together."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path

from benchmarks.homes import fresh_home
from benchmarks.processes import Measured, ratio_of, refuse_different, run_process, seconds_of
from benchmarks.rows import Row

REPEATS = 3
LIMIT = 1.3


def run(first: date = date(2024, 1, 1), last: date = date(2024, 12, 31), *, repeats: int = REPEATS) -> list[Row]:
    """Time of the graph over the sum of both; the days are simulated before."""
    from world.files import simulate

    graph, plain, empty = [], [], []
    span = (first.isoformat(), last.isoformat())
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        simulate(source, first, last)
        for _ in range(repeats):
            plain.append(_measure(source, "benchmarks.plain.features", *span))
            empty.append(_measure(source, "benchmarks.empty", *span, "features"))
            graph.append(_measure(source, "benchmarks.graph", *span, "features"))
            refuse_different(graph[-1], plain[-1])
    ratio = ratio_of(seconds_of(graph), plain=seconds_of(plain), empty=seconds_of(empty))
    days = (last - first).days + 1
    return [ratio.row(f"{days} delivery days: time over plain + empty", LIMIT)]


def _measure(source: Path, module: str, *arguments: str) -> Measured:
    with fresh_home() as environment:
        environment["DELIVERY_ETA_SOURCE"] = str(source)
        return run_process("-m", module, "delivery_eta", *arguments, environment=environment)
