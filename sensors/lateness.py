"""Lateness: a partition that should have arrived and has not is shown on `landed`, though nothing runs."""

import json

import dagster as dg

from perennial.declaration import Pipeline
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Tables
from resources.lateness import evaluate_lateness
from sensors.automation import keys_of, pipeline_sensor
from sensors.progress import runs_of


def build_lateness(pipeline: Pipeline) -> dg.SensorDefinition:
    """Build the lateness sensor of `pipeline`."""
    assets = keys_of(pipeline, ["landed"])

    @pipeline_sensor(
        pipeline,
        "lateness",
        ["landed"],
        every=120,
        description="Evaluates the check arrives_in_time of landed when its answer changes; starts no run.",
    )
    def lateness(
        context: dg.SensorEvaluationContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> dg.SensorResult:
        if runs_of(context.instance, assets):
            return dg.SensorResult(skip_reason="a run lands partitions now", cursor=context.cursor)
        evaluation = evaluate_lateness(pipeline, tables, now=clock.now())

        found = "" if evaluation.passed else evaluation.description

        if found != json.loads(context.cursor or '""'):
            context.instance.report_runless_asset_event(evaluation)
        return dg.SensorResult(skip_reason=evaluation.description, cursor=json.dumps(found))

    return lateness
