"""Monitoring: what was answered, what became of it, and how good it was, by the pipeline's own clock."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import SensorInstigatorData

from assets.describe import rounded, row_counts, table
from assets.partitioning import any_partition
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.labels.maturity import is_cohort_mature
from perennial.monitoring.performance import Performance, performance
from perennial.settings import Home
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Outcome, Tables
from perennial.stores.production.inference_log import TABLE, remove_taken, take_in
from perennial.stores.production.served import Served

KEPT = timedelta(days=1)
"""How long a segment stays beside the lake that has taken it in."""


def build_inference_log(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the inference_log asset of `pipeline`."""

    @range_asset(
        pipeline,
        TABLE,
        stage="monitoring",
        deps=[any_partition(pipeline, "release")],
        description="One record an answered instance, taken from the server's segments exactly once.",
        calendar=pipeline.monitoring_time,
    )
    def inference_log(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        home: dg.ResourceParam[Home],
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, TABLE)
        segments, lake = home.inference / pipeline.name, tables.lakehouse.path(pipeline.table(TABLE))

        taken = take_in(segments, lake)
        cursor = _sensor_cursor(context.instance, pipeline)
        removed = remove_taken(segments, lake, before=clock.now() - KEPT, cursor=cursor)

        context.log.info(
            f"{pipeline.name}: {taken.rows} new records taken into the lake, {len(removed)} old segments removed"
        )
        answered = Served(tables=tables, pipeline=pipeline).answered(run.keys).partition_by("partition", as_dict=True)
        for key in run.keys:
            part = answered.get((key,))
            run.written(key, _describe_log(part) if part is not None else row_counts(0))
        yield from run.finish()

    return inference_log


def build_ground_truth(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the ground_truth asset of `pipeline`."""

    @range_asset(
        pipeline,
        "ground_truth",
        stage="monitoring",
        deps=[TABLE, "labels"],
        description="Each answered prediction with its outcome: by feedback on its id, else by a label of its key.",
        calendar=pipeline.monitoring_time,
    )
    def ground_truth(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "ground_truth")
        truth = Served(tables=tables, pipeline=pipeline).ground_truth(run.keys)

        tables.save(pipeline, "ground_truth", truth, {key: Outcome() for key in run.keys}, at=clock.now())

        counted = {"rows": pl.len(), "mean confidence": pl.col("confidence").mean()}
        sources = truth.group_by("partition", "source", "said_by").agg(**counted).sort("partition", "source", "said_by")
        for key in run.keys:
            part = truth.filter(pl.col("partition") == key)
            counts = sources.filter(pl.col("partition") == key).drop("partition").to_dicts()
            run.written(key, row_counts(part.height) | {"outcomes": table(counts)})
        yield from run.finish()

    return ground_truth


def build_performance(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the performance asset of `pipeline`."""

    @range_asset(
        pipeline,
        "performance",
        stage="monitoring",
        deps=["ground_truth"],
        description="How good the answered predictions were, by version, beside what the sealed test promised.",
        calendar=pipeline.monitoring_time,
    )
    def measured(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "performance")
        truths = tables.records(pipeline, "ground_truth")
        for key in set(run.keys) - set(truths):
            run.block(key, "ground_truth is missing")
        records = {key: truths[key] for key in run.keys if key in truths}
        promised = _promises(tables, pipeline)
        for keys in run.batches({key: record.rows for key, record in records.items()}):
            truth = tables.read(pipeline, "ground_truth", keys)

            by_key = {key: performance(truth.filter(pl.col("partition") == key), pipeline.objective) for key in keys}

            inputs = {key: Outcome(inputs={"ground_truth": records[key].content_hash}) for key in keys}
            tables.save(pipeline, "performance", _frame(by_key), inputs, at=clock.now())

            for key in keys:
                age = clock.now() - pipeline.monitoring_time.window(key).end
                mature = is_cohort_mature(pipeline, age=age, share=by_key[key][0].matched_share)
                run.written(key, _describe(by_key[key], promised, pipeline, mature=mature))
        yield from run.finish()

    return measured


def _sensor_cursor(instance: dg.DagsterInstance, pipeline: Pipeline) -> str | None:
    """How far the monitoring sensor has read the segments; None before it first did."""
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        data = state.instigator_data
        if state.instigator_name == f"{pipeline.name}_monitoring" and isinstance(data, SensorInstigatorData):
            answers: str | None = json.loads(data.cursor or "{}").get("answers")
            return answers
    return None


PERFORMANCE_SCHEMA = {
    "partition": pl.String,
    "version": pl.Int64,
    "predictions": pl.Int64,
    "answered": pl.Int64,
    "metric": pl.Float64,
    "bias": pl.Float64,
    "kpi_share": pl.Float64,
}


def _frame(by_key: dict[str, tuple[Performance, ...]]) -> pl.DataFrame:
    rows = [{"partition": key, **asdict(each)} for key, measured in by_key.items() for each in measured]
    return pl.DataFrame(rows, schema=PERFORMANCE_SCHEMA)


def _promises(tables: Tables, pipeline: Pipeline) -> dict[int, float]:
    """What the sealed test measured of each version that it judged by the metric of today."""
    versions = tables.operations.versions(pipeline.name)
    measured = {version.number: version.attributes["test"].get(pipeline.objective.metric) for version in versions}
    return {number: measure["value"] for number, measure in measured.items() if measure is not None}


def _describe(
    measured: tuple[Performance, ...], promised: dict[int, float], pipeline: Pipeline, *, mature: bool
) -> dict[str, Any]:
    """What a person sees; the metrics of an immature partition have names of their own, so that no plot joins them."""
    overall, by_version = measured[0], measured[1:]
    objective = pipeline.objective
    metric, kpi, bias = (objective.describe(name) for name in (objective.metric, "kpi_share", "bias"))
    rows = [
        {
            "version": each.version,
            "predictions": each.predictions,
            "outcomes known": f"{each.matched_share:.1%}",
            metric: each.metric,
            f"sealed test [{objective.error_unit}]": promised.get(each.version or 0),
            bias: each.bias,
            kpi: each.kpi_share,
        }
        for each in by_version
    ]
    known = {metric: overall.metric, kpi: overall.kpi_share} if overall.metric is not None else {}
    return {
        "predictions": overall.predictions,
        "share with known outcome": rounded(overall.matched_share),
        "outcomes are mature": mature,
        **{name if mature else f"not mature: {name}": rounded(v) for name, v in known.items() if v is not None},
        "by version": table(rows),
    }


def _describe_log(part: pl.DataFrame) -> dict[str, Any]:
    latency = part["latency_ms"]
    versions = part.group_by("version").agg(answers=pl.len(), mean=pl.col("prediction").mean()).sort("version")
    return {
        **row_counts(part.height),
        "latency p50 [ms]": rounded(latency.quantile(0.5) or 0.0),
        "latency p99 [ms]": rounded(latency.quantile(0.99) or 0.0),
        "versions": table(versions.to_dicts()),
    }
