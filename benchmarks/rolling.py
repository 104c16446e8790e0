"""Rolling: the same aggregates by Perennial's rules and tables, from accepted rows in the lake to joined rows.

    python -m benchmarks.rolling prepare FOLDER 2023-01 2023-12
    python -m benchmarks.rolling run 2023-01 2023-12
    python -m benchmarks.rolling more 2023-01 2023-12

The first lands the months and writes their accepted rows to FOLDER for the plain side; the second ends with
one line of JSON, as the plain side does. The third tells the seconds of the last month after the others, and of
all, each in copies of the home and once the process has done the same before: what a month costs, not a process.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import polars as pl

from assets.range_run import batches_of
from benchmarks.plain.aggregates import sums
from perennial import Rolling
from perennial.declaration import Pipeline
from perennial.featurization.partials import columns_read, partial_rows
from perennial.graph.lineage import inputs_of
from perennial.settings import find_home, home_at
from perennial.stores.lake.aggregates import compute_states, with_aggregates
from perennial.stores.lake.tables import Outcome, Tables, derived, revisions_of

AT = datetime(2024, 1, 1, tzinfo=UTC)
TURNS = 12
"""How often the last month and all months are timed in turn."""


def rides() -> Pipeline:
    """taxi_eta with the mean and count of the last 28 days by pickup zone and by pair of zones."""
    from pipelines.taxi_eta import taxi_eta

    entities: list[str | tuple[str, ...]] = ["pickup_zone", ("pickup_zone", "dropoff_zone")]
    rolling = [Rolling(by=by, of="label", how="mean", days=28) for by in entities]
    return replace(taxi_eta, aggregates=[*rolling, *(Rolling(by=by, how="count", days=28) for by in entities)])


def prepare(folder: Path, keys: Sequence[str]) -> None:
    """Land and judge the months, and write what was accepted for the plain side."""
    from benchmarks.graph import materialize
    from pipelines.definitions import defs
    from resources.instance import open_instance
    from resources.stores import open_tables

    home, pipeline = find_home(os.environ), rides()
    with open_instance(home, os.environ) as instance:
        materialize(instance, defs, pipeline, ("landed", "accepted", "quarantined"), (keys[0], keys[-1]))
    for key in keys:
        open_tables(home).read(pipeline, "accepted", [key]).write_parquet(folder / f"{key}.parquet")


def run(tables: Tables, pipeline: Pipeline, keys: Sequence[str]) -> pl.DataFrame:
    """Write partials and aggregates as the assets do, and return the trips of `keys` with what was known."""
    accepted, read = tables.records(pipeline, "accepted"), columns_read(pipeline)
    for batch in batches_of({key: accepted[key].rows for key in keys}):
        partials = partial_rows(tables.read(pipeline, "accepted", revisions_of(accepted, batch), read), pipeline)
        made = {key: derived(pipeline, "partials", accepted[key]) for key in batch}
        tables.save(pipeline, "partials", partials, made, at=AT)
    standing = tables.standing(pipeline)
    outcomes = {key: _outcome(pipeline, standing.across("aggregates", key, 1), key) for key in keys}
    tables.save(pipeline, "aggregates", compute_states(tables, standing, keys), outcomes, at=AT)
    joined = with_aggregates(tables, pipeline, tables.read(pipeline, "accepted", revisions_of(accepted, keys), read))
    joined = joined.select("event_time", *(aggregate.name for aggregate in pipeline.checked_aggregates))
    joined.write_parquet(f"{tables.lakehouse.root}/joined-{keys[0]}.parquet")  # a month's is a file of its own
    return joined


def more(root: Path, pipeline: Pipeline, keys: Sequence[str]) -> dict[str, list[float]]:
    """The seconds of the last of `keys` alone, after the others, and of all together, turn by turn.

    The first turn, which makes the process warm, is left out.
    """
    month, whole = [], []
    for _ in range(1 + TURNS):
        with _copied(root) as tables:
            run(tables, pipeline, keys[:-1])
            month.append(_seconds(tables, pipeline, keys[-1:]))
        with _copied(root) as tables:
            whole.append(_seconds(tables, pipeline, keys))
    return {"month": month[1:], "whole": whole[1:]}


@contextmanager
def _copied(root: Path) -> Iterator[Tables]:
    from resources.stores import open_tables

    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(root, folder, symlinks=True, dirs_exist_ok=True)
        yield open_tables(home_at(Path(folder)))


def _seconds(tables: Tables, pipeline: Pipeline, keys: Sequence[str]) -> float:
    os.sync()  # what was written before is no part of it
    start = time.perf_counter()
    run(tables, pipeline, keys)
    return time.perf_counter() - start


def _outcome(pipeline: Pipeline, window: dict[str, str], key: str) -> Outcome:
    inputs = inputs_of(pipeline, "aggregates", "", across=window)
    return Outcome(inputs=inputs, known_at=pipeline.time.known_at(key), revision=1)


def main(what: str, *arguments: str) -> None:
    """Prepare or run; a run says how long it took."""
    pipeline, home = rides(), find_home(os.environ)
    keys = pipeline.time.keys(*arguments[-2:])
    if what == "prepare":
        prepare(Path(arguments[0]), keys)
        return
    if what == "more":
        sys.stdout.write(json.dumps(more(home.root, pipeline, keys)) + "\n")
        return
    from resources.stores import open_tables

    tables = open_tables(home)
    for used in ("deltalake", "pyarrow"):  # as the plain side has imported all that it uses
        import_module(used)
    start = time.perf_counter()
    joined = run(tables, pipeline, keys)
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - start, "sums": sums(joined)}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
