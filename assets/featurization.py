"""Featurization: the declared row features of every accepted row."""

from collections.abc import Iterator

import dagster as dg

from assets.describe import head, row_counts
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.featurization.expressions import featurize_rows
from perennial.stores.clock import Clock
from perennial.stores.tables import Tables, derived, revisions_of


def build_features(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the features asset of `pipeline`."""

    @range_asset(
        pipeline,
        "features",
        stage="featurization",
        deps=["accepted"],
        description="The declared features of each accepted row, by the expressions that the bundle will carry.",
        metadata={"features": dg.MetadataValue.md(catalogue(pipeline))},
    )
    def features(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "features")
        for accepted, keys in run.work(tables, "accepted"):
            rows = tables.read(pipeline, "accepted", revisions_of(accepted, keys))

            featurized = featurize_rows(rows, pipeline)

            outcomes = {key: derived(pipeline, "features", accepted[key]) for key in keys}
            records = tables.save(pipeline, "features", featurized, outcomes, at=clock.now())

            parts = featurized.partition_by("partition", as_dict=True)
            for key in keys:
                record = records[key]
                run.written(
                    key,
                    {
                        **row_counts(record.rows),
                        "revision": record.revision,
                        "table_version": record.table_version,
                        "content_hash": record.content_hash,
                        "sample": head(parts[(key,)].drop("partition"), schema=pipeline.schema),
                    },
                )
        yield from run.finish()

    return features


def catalogue(pipeline: Pipeline) -> str:
    """The declared features as a table: name, kind, definition."""
    rows = zip(pipeline.checked_features, pipeline.features, strict=True)
    lines = [f"| {feature.name} | {feature.kind} | `{expression}` |" for feature, expression in rows]
    return "\n".join(["| feature | kind | definition |", "|---|---|---|", *lines])
