"""Months: twelve real taxi months from landed to features, process against process."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.homes import fresh_home
from benchmarks.processes import Measured, largest, ratio_of, refuse_different, run_process, seconds_of
from benchmarks.rows import Row
from perennial.settings import CLONE

REPEATS = 3
LIMIT = 1.5


def run(first: str = "2023-01", last: str = "2023-12", *, repeats: int = REPEATS) -> list[Row]:
    """Time and memory of the graph over those of the plain script."""
    graph, plain = [], []
    for _ in range(repeats):
        plain.append(_measure("benchmarks.plain.features", "taxi_eta", first, last))
        graph.append(_measure("benchmarks.graph", "taxi_eta", first, last, "features"))
        refuse_different(graph[-1], plain[-1])
    time, memory = ratio_of(seconds_of(graph), plain=seconds_of(plain)), largest(graph) / largest(plain)
    held = f"{largest(graph) / 2**20:.0f} MiB beside {largest(plain) / 2**20:.0f} MiB"
    return [
        time.row("twelve taxi months: time over plain", LIMIT),
        Row(name="twelve taxi months: memory over plain", value=memory, limit=LIMIT, ok=memory <= LIMIT, detail=held),
    ]


def taxi_sources() -> dict[str, str]:
    """The settings that place the real files of taxi_eta."""
    months = real_months()
    return {"TAXI_ETA_SOURCE": str(months), "TAXI_ZONES_SOURCE": str(months.parent / "taxi_zones")}


def real_months() -> Path:
    """The folder of the real months. Raises FileNotFoundError with where it was looked for."""
    named = os.environ.get("PERENNIAL_REAL_DATA")
    folder = (Path(named) if named else CLONE.parent / "shared" / "data") / "green_taxi"
    if not folder.is_dir():
        raise FileNotFoundError(f"no green_taxi months in {folder.parent}; set PERENNIAL_REAL_DATA")
    return folder


def _measure(module: str, *arguments: str) -> Measured:
    with fresh_home() as environment:
        return run_process("-m", module, *arguments, environment=environment | taxi_sources())
