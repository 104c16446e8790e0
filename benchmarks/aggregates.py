"""Aggregates: four rolling aggregates of twelve real taxi months as known at each trip, beside plain Polars."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.homes import prepare_home
from benchmarks.months import taxi_sources
from benchmarks.processes import ratio_of, run_process
from benchmarks.rows import Row
from perennial.settings import home_at

REPEATS = 3
LIMIT = 3.0
ONE_MORE = 2.0
"""Times a twelfth; a month's window reaches into the one before."""


def run(first: str = "2023-01", last: str = "2023-12", *, repeats: int = REPEATS) -> list[Row]:
    """Seconds of the work alone on either side, and of the last month over those of all."""
    sides, warm = _sides(first, last, repeats)
    time = ratio_of(sides["ours"], plain=sides["plain"])
    share = ratio_of(warm["month"], twelfth=[seconds / 12 for seconds in warm["whole"]])
    return [
        time.row("aggregates of twelve taxi months: time over plain", LIMIT),
        share.row("aggregates of one month more, in a warm process: time over a twelfth", ONE_MORE),
    ]


def _sides(first: str, last: str, repeats: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """The seconds of each side, turn by turn, and of the last month beside all in a warm process.

    Raises RuntimeError where the sides come to another answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        template, plain = Path(folder) / "template", Path(folder) / "plain"
        plain.mkdir()
        environment = prepare_home(template) | taxi_sources()
        run_process("-m", "benchmarks.rolling", "prepare", str(plain), first, last, environment=environment)
        sides: dict[str, list[float]] = {"ours": [], "plain": []}
        for repeat in range(repeats):
            expected = run_process("-m", "benchmarks.plain.aggregates", str(plain), first, last).answer
            ours = _measure(template, Path(folder) / f"all{repeat}", first, last, environment)
            if ours["sums"] != expected["sums"]:
                raise RuntimeError(f"the joined columns add up to {ours['sums']}, by plain Polars {expected['sums']}")
            for name, answer in (("ours", ours), ("plain", expected)):
                sides[name].append(answer["seconds"])
        return sides, run_process("-m", "benchmarks.rolling", "more", first, last, environment=environment).answer


def _measure(template: Path, root: Path, first: str, last: str, environment: Mapping[str, str]) -> dict[str, float]:
    """The answer of one run in a copy of the home."""
    shutil.copytree(template, root, symlinks=True)
    home = dict(environment) | home_at(root).environment
    answer: dict[str, float] = run_process("-m", "benchmarks.rolling", "run", first, last, environment=home).answer
    shutil.rmtree(root)
    return answer
