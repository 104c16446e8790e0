"""Large: one partition of 20 million rows from landed to features, process against process, and through all assets."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.homes import fresh_home
from benchmarks.processes import Measured, largest, ratio_of, refuse_different, run_process, seconds_of
from benchmarks.rows import Row
from benchmarks.till import SOURCE, write_sales

ROWS = 20_000_000
REPEATS = 5
TIMES, GIBIBYTES = 2.0, 4.0


def run(rows: int = ROWS, *, repeats: int = REPEATS) -> list[Row]:
    """Time over the plain streaming query, and memory; of all data assets the memory alone."""
    with tempfile.TemporaryDirectory() as folder:
        write_sales(Path(folder), rows)
        graph, plain = [], []
        for _ in range(repeats):
            plain.append(_plain(folder))
            graph.append(_graph(folder))
            refuse_different(graph[-1], plain[-1])
        whole = [_graph(folder, "all")]
    time = ratio_of(seconds_of(graph), plain=seconds_of(plain))
    memory, most = largest(graph) / 2**30, largest(whole) / 2**30
    held = f"beside {largest(plain) / 2**30:.1f} GiB"
    tables = f"{', '.join(whole[0].answer)} in {whole[0].seconds:.1f} s"
    what = f"one partition of {rows / 1e6:g} million rows"
    return [
        time.row(f"{what}: time over plain", TIMES),
        Row(name=f"{what}: GiB of memory", value=memory, limit=GIBIBYTES, ok=memory <= GIBIBYTES, detail=held),
        Row(name=f"{what}, all data assets: GiB", value=most, limit=GIBIBYTES, ok=most <= GIBIBYTES, detail=tables),
    ]


def _plain(source: str) -> Measured:
    with tempfile.TemporaryDirectory() as target:
        return run_process("-m", "benchmarks.plain.large", source, target)


def _graph(source: str, *which: str) -> Measured:
    with fresh_home() as environment:
        return run_process("-m", "benchmarks.large_graph", *which, environment=environment | {SOURCE: source})
