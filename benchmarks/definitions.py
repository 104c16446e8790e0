"""Definitions: how long loading the code location takes, beside `import dagster`."""

from __future__ import annotations

from benchmarks.processes import ratio_of, run_process, seconds_of
from benchmarks.rows import Row

REPEATS = 7
LIMIT = 2.0
HEAVY = ("great_expectations", "evidently", "mlflow", "torch", "sklearn", "onnx")
LOADED = f"import json, sys, pipelines.definitions; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"


def run() -> list[Row]:
    """The ratio of the two, and the heavy libraries that loading brought in."""
    heavy = run_process("-c", LOADED).answer
    ours, dagster = [], []
    for _ in range(REPEATS):
        dagster.append(run_process("-c", "import dagster"))
        ours.append(run_process("-c", "import pipelines.definitions"))
    ratio = ratio_of(seconds_of(ours), dagster=seconds_of(dagster))
    return [
        ratio.row("definitions: load over import dagster", LIMIT),
        Row(name="definitions: heavy libraries", value=len(heavy), limit=0, ok=not heavy, detail=", ".join(heavy)),
    ]
