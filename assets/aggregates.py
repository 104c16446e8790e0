"""Aggregates: partial sums of each partition's entities, and what their last days were at each partition's end."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import polars as pl

from assets.describe import bullets, row_counts, table
from assets.partitioning import rolling_mapping
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.featurization.description import entity_counts, top_entities, value_rows
from perennial.featurization.lineage import obstacle
from perennial.featurization.partials import add_partials, columns_read, partial_rows
from perennial.graph.lineage import Standing, inputs_of
from perennial.stores.clock import Clock
from perennial.stores.lake.aggregates import compute_states
from perennial.stores.lake.large import accepted_parts
from perennial.stores.lake.tables import Outcome, Tables, derived


def build_partials(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the partials asset of `pipeline`."""

    @range_asset(
        pipeline,
        "partials",
        stage="featurization",
        deps=["accepted"],
        description="What the rows of each entity and day add to the windows they lie in, as sums.",
    )
    def partials(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "partials")
        for accepted, keys in run.work(tables, "accepted"):
            parts = accepted_parts(tables, pipeline, accepted, keys, columns_read(pipeline))

            summed = add_partials((partial_rows(rows, pipeline) for rows in parts), pipeline)

            outcomes = {key: derived(pipeline, "partials", accepted[key]) for key in keys}
            records = tables.save(pipeline, "partials", summed, outcomes, at=clock.now())

            for key in keys:
                run.written(key, {**row_counts(records[key].rows), "rows summed": accepted[key].rows})
        yield from run.finish()

    return partials


def build_aggregates(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the aggregates asset of `pipeline`."""

    @range_asset(
        pipeline,
        "aggregates",
        stage="featurization",
        deps=[dg.AssetDep([pipeline.name, "partials"], partition_mapping=rolling_mapping(pipeline))],
        description="Each entity's last days at the partition's end, as known then.",
    )
    def aggregates(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "aggregates")
        standing = tables.standing(pipeline)
        ready = _outcomes(run, standing)
        sizes = {key: standing.record("partials", key) for key in ready}
        for keys in run.batches({key: size.rows if size else 0 for key, size in sizes.items()}):
            states = compute_states(tables, standing, keys)

            records = tables.save(pipeline, "aggregates", states, {key: ready[key] for key in keys}, at=clock.now())

            parts = states.partition_by("partition", as_dict=True)
            for key in keys:
                part = parts.get((key,), states.clear())
                run.written(key, row_counts(records[key].rows) | _describe(part, pipeline, ready[key]))
        yield from run.finish()

    return aggregates


def _outcomes(run: RangeRun, standing: Standing) -> Mapping[str, Outcome]:
    """How each partition of the run will be recorded; one whose window cannot be read is blocked.

    A partition that is blocked itself still has an end at which the entities' earlier days are known.
    """
    pipeline = run.pipeline
    found: dict[str, Outcome] = {}
    for key in run.keys:
        revision = standing.newest(key)
        if revision is None:
            run.block(key, "landed is missing")
            continue
        window = standing.across("aggregates", key, revision)
        problem = obstacle(window, "partials")
        if problem:
            run.block(key, problem)
            continue
        left_out = sorted(name for name, hashed in window.items() if not hashed)
        found[key] = Outcome(
            inputs=inputs_of(pipeline, "aggregates", "", across=window),
            provenance={"left_out": left_out},
            known_at=pipeline.time.known_at(key),
            revision=revision,
        )
    return found


def _describe(part: pl.DataFrame, pipeline: Pipeline, outcome: Outcome) -> dict[str, Any]:
    return {
        **entity_counts(part, pipeline),
        "values": table(value_rows(part, pipeline)),
        **{f"highest {name}": table(rows) for name, rows in top_entities(part, pipeline).items()},
        "partitions left out": bullets(outcome.provenance["left_out"]),
    }
