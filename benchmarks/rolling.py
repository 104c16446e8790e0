"""Rolling: the same aggregates by Perennial's rules and tables, from accepted rows in the lake to joined rows.

    python -m benchmarks.rolling prepare FOLDER 2023-01 2023-12
    python -m benchmarks.rolling run 2023-01 2023-12

The first lands the months and writes their accepted rows to FOLDER for the plain side; the second ends with
one line of JSON, as the plain side does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
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
from perennial.settings import find_home
from perennial.stores.lake.aggregates import compute_states, with_aggregates
from perennial.stores.lake.tables import Outcome, Tables, derived

AT = datetime(2024, 1, 1, tzinfo=UTC)


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
        partials = partial_rows(tables.read(pipeline, "accepted", batch, read), pipeline)
        made = {key: derived(pipeline, "partials", accepted[key]) for key in batch}
        tables.save(pipeline, "partials", partials, made, at=AT)
    standing = tables.standing(pipeline)
    outcomes = {key: _outcome(pipeline, standing.across("aggregates", key, 1), key) for key in keys}
    tables.save(pipeline, "aggregates", compute_states(tables, pipeline, keys), outcomes, at=AT)
    joined = with_aggregates(tables, pipeline, tables.read(pipeline, "accepted", list(keys), read))
    joined = joined.select("event_time", *(aggregate.name for aggregate in pipeline.checked_aggregates))
    joined.write_parquet(find_home(os.environ).root / "joined.parquet")
    return joined


def _outcome(pipeline: Pipeline, window: dict[str, str], key: str) -> Outcome:
    inputs = inputs_of(pipeline, "aggregates", "", across=window)
    return Outcome(inputs=inputs, known_at=pipeline.time.known_at(key), revision=1)


def main(what: str, *arguments: str) -> None:
    """Prepare or run; a run says how long it took."""
    pipeline = rides()
    keys = pipeline.time.keys(*arguments[-2:])
    if what == "prepare":
        prepare(Path(arguments[0]), keys)
        return
    from resources.stores import open_tables

    tables = open_tables(find_home(os.environ))
    import_module("deltalake")  # as the plain side has imported all that it uses
    start = time.perf_counter()
    joined = run(tables, pipeline, keys)
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - start, "sums": sums(joined)}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
