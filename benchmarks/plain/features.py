"""Plain features: landed to features by the same functions, whole tables in memory, one commit a table, no Dagster.

python -m benchmarks.plain.features delivery_eta 2024-01-01 2024-12-31
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from perennial.content import content_hash
from perennial.declaration import Pipeline
from perennial.featurization.expressions import featurize_rows
from perennial.featurization.partials import partial_rows
from perennial.featurization.point_in_time import join_point_in_time
from perennial.featurization.states import state_rows, states_of
from perennial.ingestion.landing import land
from perennial.settings import Home, find_home
from perennial.stores.lake.lakehouse import Lakehouse
from perennial.stores.lake.lookups import Lookups
from perennial.stores.sources import Sources
from perennial.validation.verdicts import judge_partitions, split_rows
from pipelines.discovery import discover


def main(name: str, first: str, last: str) -> None:
    """Compute the range and end with one line of JSON: the content hash of each partition of each table."""
    pipeline = discover().named(name)
    tables = compute(pipeline, find_home(os.environ), pipeline.time.keys(first, last))
    found = {name: hashes(rows, pipeline.time.keys(first, last)) for name, rows in tables.items()}
    sys.stdout.write(json.dumps(found) + "\n")


def compute(pipeline: Pipeline, home: Home, keys: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Write the tables and return their rows."""
    sources, lakehouse = Sources(home=home.root, state=home), Lakehouse(root=home.lake)
    lookups, now = Lookups(lakehouse=lakehouse, sources=sources), datetime.now(UTC)
    lookups.refresh(pipeline, at=now)
    read = (lookups.join(pipeline, sources.read(pipeline, key, fetched_at=now)) for key in keys)
    landed = pl.concat([land(pipeline, arrival).frame for arrival in read])
    split = split_rows(landed, pipeline.judged, pipeline.time)
    blocked = [v.partition for v in judge_partitions(split, pipeline.judged, partitions=keys).values() if v.blocked]
    if blocked:
        raise RuntimeError(f"{pipeline.name}: blocked {blocked}")
    partials = partial_rows(split.accepted, pipeline)
    states = states_of(pipeline, keys, {key: [pipeline.time.known_at(key)] for key in keys})
    ever = pl.lit(None, pl.Datetime("us", "UTC"))
    aggregates = state_rows(
        partials.with_columns(pl.col("known_at").alias("since"), ever.alias("until")), pipeline, states
    )
    joined = join_point_in_time(split.accepted, aggregates, pipeline)
    tables = {
        "landed": landed, "accepted": split.accepted, "quarantined": split.quarantined, "partials": partials,
        "aggregates": aggregates, "features": featurize_rows(joined, pipeline),
    }  # fmt: skip
    for name, rows in tables.items():
        lakehouse.overwrite(pipeline.table(name), rows, partitions=keys)
    return tables


def hashes(rows: pl.DataFrame, keys: Sequence[str]) -> dict[str, str]:
    """The content hash of each partition."""
    parts = rows.partition_by("partition", as_dict=True, maintain_order=True)
    return {key: content_hash(parts.get((key,), rows.clear())) for key in keys}


if __name__ == "__main__":
    main(*sys.argv[1:])
