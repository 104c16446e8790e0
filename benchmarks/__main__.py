"""Bench: runs the benchmarks by name, or all, prints their rows and writes them to `build/bench.jsonl`.

Exit code 1 when a row does not keep its limit, or could not be measured.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row
from perennial.settings import CLONE, turn_telemetry_off

NAMES = (
    *("definitions", "suite", "months", "days", "events", "large", "aggregates"),
    *("release", "serving", "lookup", "alarms"),
)
"""Modules of this package with a `run() -> list[Row]`."""
RESULTS = CLONE / "build" / "bench.jsonl"


def main(names: Sequence[str]) -> int:
    """Run the benchmarks of `names`, each beside its plain side."""
    unknown = set(names) - set(NAMES)
    if unknown:
        Console(stderr=True).print(f"bench: no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
        return 2
    turn_telemetry_off(os.environ)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("")
    rows: list[Row] = []
    for name in names or NAMES:
        measured = measure(name)
        with RESULTS.open("a") as file:
            file.writelines(json.dumps(asdict(row)) + "\n" for row in measured)
        rows += measured
    Console().print(table_of(rows))
    return 0 if all(row.ok for row in rows) else 1


def measure(name: str) -> list[Row]:
    """The rows of one benchmark; one that could not be measured is a row that does not keep its limit."""
    Console(stderr=True).print(f"bench: {name}")
    try:
        rows: list[Row] = importlib.import_module(f"benchmarks.{name}").run()
    except Exception as error:  # noqa: BLE001 - the other benchmarks are still worth running
        traceback.print_exc()
        return [Row(name=name, value=None, ok=False, detail=f"{type(error).__name__}: {error}")]
    return rows


def table_of(rows: Sequence[Row]) -> Table:
    """The rows for a person."""
    table = Table("what", "value", "limit", "", "measured")
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.2f}"
        limit = "" if row.limit is None else f"{row.limit:g}"
        table.add_row(row.name, value, limit, "ok" if row.ok else "[red]no[/red]", row.detail)
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
