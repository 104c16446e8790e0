"""Labels: the outcome of every accepted row that has one, and since when it could be known."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from assets.describe import instant, rounded, row_counts
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.labels.labelling import label_rows
from perennial.stores.clock import Clock
from perennial.stores.tables import Tables, derived, revisions_of


def build_labels(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the labels asset of `pipeline`."""

    @range_asset(
        pipeline,
        "labels",
        stage="labels",
        deps=["accepted"],
        description="The outcome of each accepted row, and the time from which one could know it.",
    )
    def labels(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "labels")
        for accepted, keys in run.work(tables, "accepted"):
            rows = tables.read(pipeline, "accepted", revisions_of(accepted, keys))

            labelled = label_rows(rows, pipeline)

            outcomes = {key: derived(pipeline, "labels", accepted[key]) for key in keys}
            tables.save(pipeline, "labels", labelled, outcomes, at=clock.now())

            parts = labelled.partition_by("partition", as_dict=True)
            for key in keys:
                part = parts.get((key,), labelled.clear())
                run.written(
                    key, row_counts(part.height) | _describe(part, accepted[key].rows, unit=pipeline.objective.unit)
                )
        yield from run.finish()

    return labels


def _describe(part: pl.DataFrame, accepted: int, *, unit: str) -> dict[str, Any]:
    if part.is_empty():
        return {"labelled share": 0.0}
    return {
        "labelled share": rounded(part.height / max(accepted, 1)),
        f"mean [{unit}]": rounded(part["label"].mean()),  # type: ignore[arg-type]
        f"median [{unit}]": rounded(part["label"].median()),  # type: ignore[arg-type]
        "last known": instant(part["known_at"].max()),  # type: ignore[arg-type]
    }
