"""Featurization: the declared row features of every accepted row."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import polars as pl

from assets.describe import head, rounded, row_counts, table
from assets.partitioning import known_aggregates
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.featurization.catalogue import catalogue_of, rows_of, worth_columns
from perennial.featurization.description import default_shares
from perennial.featurization.expressions import featurize_rows
from perennial.featurization.lineage import obstacle
from perennial.graph.records import PartitionRecord
from perennial.stores.clock import Clock
from perennial.stores.lake.aggregates import joined_aggregates, with_aggregates
from perennial.stores.lake.large import Large, is_large
from perennial.stores.lake.tables import Tables, derived, revisions_of
from perennial.stores.models.versions import serving_of


def build_features(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the features asset of `pipeline`."""

    @range_asset(
        pipeline,
        "features",
        stage="featurization",
        deps=["accepted", *known_aggregates(pipeline)],
        description="The declared features of each accepted row, by the expressions that the bundle will carry.",
        metadata={"catalogue": _catalogue(pipeline)},
    )
    def features(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "features")
        for accepted, keys in run.work(tables, "accepted"):
            seen, ready = _in_sight(run, tables, {key: accepted[key].revision for key in keys})
            if not ready:
                continue
            if is_large(accepted, ready):
                outcome = derived(pipeline, "features", accepted[ready[0]], across=seen[ready[0]])
                joined = joined_aggregates(tables, pipeline)
                record, sample = Large(tables=tables, pipeline=pipeline).transform(
                    "features",
                    accepted[ready[0]],
                    outcome,
                    lambda part: featurize_rows(joined(part), pipeline),  # noqa: B023 - called within this turn
                    at=clock.now(),
                )
                run.written(ready[0], _describe(pipeline, record, sample) | _in_use(run, tables, ready[0]))
                continue
            rows = with_aggregates(tables, pipeline, tables.read(pipeline, "accepted", revisions_of(accepted, ready)))

            featurized = featurize_rows(rows, pipeline)

            outcomes = {key: derived(pipeline, "features", accepted[key], across=seen[key]) for key in ready}
            records = tables.save(pipeline, "features", featurized, outcomes, at=clock.now())

            parts = featurized.partition_by("partition", as_dict=True)
            for key in ready:
                run.written(key, _describe(pipeline, records[key], parts[(key,)]) | _in_use(run, tables, key))
        yield from run.finish()

    return features


def _catalogue(pipeline: Pipeline) -> dg.MarkdownMetadataValue:
    """Every feature, in the columns that fit the UI's dialog; definitions tell windows, docs/features.md the rest."""
    left_out = ("kind", "window")
    listed = rows_of(catalogue_of(pipeline))
    return table({name: value for name, value in row.items() if name not in left_out} for row in listed)


def _in_use(run: RangeRun, tables: Tables, key: str) -> dict[str, Any]:
    """With the last partition of a run: which features the version that serves reads, and what they are worth to it."""
    serving = serving_of(run.pipeline, tables.operations.champion(run.pipeline.name)) if key == run.keys[-1] else None
    if serving is None:
        return {}
    shown = ("feature", "version", *worth_columns(serving))
    rows = rows_of(catalogue_of(run.pipeline), serving)
    return {"in use": table({name: row[name] for name in shown if name in row} for row in rows)}


def _describe(pipeline: Pipeline, record: PartitionRecord, rows: pl.DataFrame) -> dict[str, Any]:
    """What the partition holds; `rows` are all of it, or the first part of a large one."""
    return {
        **row_counts(record.rows),
        "revision": record.revision,
        "table_version": record.table_version,
        "content_hash": record.content_hash,
        **{name: rounded(share) for name, share in default_shares(rows, pipeline).items()},
        "sample": head(rows.drop("partition"), schema=pipeline.schema),
    }


def _in_sight(
    run: RangeRun, tables: Tables, revisions: Mapping[str, int]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The aggregates that each partition's rows see, and those where none of them stands in the way."""
    standing = tables.standing(run.pipeline)
    seen = {key: standing.across("features", key, revision) for key, revision in revisions.items()}
    problems = {key: obstacle(parts, "aggregates") for key, parts in seen.items()}
    for key, problem in problems.items():
        if problem:
            run.block(key, problem)
    return seen, [key for key in revisions if not problems[key]]
