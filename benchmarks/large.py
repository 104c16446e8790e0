"""Large: one partition of 20 million rows from landed to features, process against process."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.homes import fresh_home
from benchmarks.processes import Measured, fastest, largest, refuse_different, run_process, told
from benchmarks.rows import Row
from benchmarks.till import SOURCE, write_sales

ROWS = 20_000_000
TIMES, GIBIBYTES = 2.0, 4.0


def run(rows: int = ROWS, *, repeats: int = 2) -> list[Row]:
    """Time over the plain streaming query, and memory."""
    with tempfile.TemporaryDirectory() as folder:
        write_sales(Path(folder), rows)
        graph, plain = [], []
        for _ in range(repeats):
            plain.append(_plain(folder))
            graph.append(_graph(folder))
            refuse_different(graph[-1], plain[-1])
    time, memory = fastest(graph) / fastest(plain), largest(graph) / 2**30
    seconds, held = f"{told(graph)} beside {told(plain)}", f"beside {largest(plain) / 2**30:.1f} GiB"
    what = f"one partition of {rows / 1e6:g} million rows"
    return [
        Row(name=f"{what}: time over plain", value=time, limit=TIMES, ok=time <= TIMES, detail=seconds),
        Row(name=f"{what}: GiB of memory", value=memory, limit=GIBIBYTES, ok=memory <= GIBIBYTES, detail=held),
    ]


def _plain(source: str) -> Measured:
    with tempfile.TemporaryDirectory() as target:
        return run_process("-m", "benchmarks.plain.large", source, target)


def _graph(source: str) -> Measured:
    with fresh_home() as environment:
        return run_process("-m", "benchmarks.large_graph", environment=environment | {SOURCE: source})
