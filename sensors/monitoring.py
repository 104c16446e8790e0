"""Monitoring: measures each partition after the champion's as-of when rows, answers or outcomes are new."""

import json
from typing import Any

import dagster as dg

from perennial.arrivals import MOST_PARTITIONS, fingerprint
from perennial.declaration import Pipeline
from perennial.monitoring_due import find_due, measurable
from perennial.ranges import ranges_of
from perennial.settings import Home
from perennial.stages import MONITORING
from perennial.stores.inference_log import pending_partitions
from perennial.stores.tables import Tables
from resources.tags import partition_tags, reason_tag
from sensors.automation import keys_of
from sensors.progress import runs_of

EMPTY: dict[str, Any] = {"measured": {}, "answers": None, "outcomes": 0}
"""What a sensor that never asked for anything has seen."""


def build_monitoring(pipeline: Pipeline) -> dg.SensorDefinition:
    """Build the sensor that has `pipeline` measured in production."""
    assets = keys_of(pipeline, MONITORING)

    @dg.sensor(
        name=f"{pipeline.name}_monitoring",
        target=dg.AssetSelection.assets(*assets),
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for performance and drift of partitions with new rows, new answers or new outcomes.",
        tags={"pipeline": pipeline.name},
    )
    def monitoring(
        context: dg.SensorEvaluationContext, tables: dg.ResourceParam[Tables], home: dg.ResourceParam[Home]
    ) -> dg.SensorResult | dg.SkipReason:
        champion = tables.operations.champion(pipeline.name)
        if champion is None:
            return dg.SkipReason("nothing serves yet: there is nothing to measure against")
        if runs := runs_of(context.instance, assets):
            return dg.SkipReason(f"run {runs[0].run_id[:8]} is measuring; the rest follows when it has ended")
        seen = {**EMPTY, **json.loads(context.cursor or "{}")}
        answers, answered = pending_partitions(home, pipeline.name, seen["answers"])
        outcomes, told = tables.operations.feedback_since(pipeline.name, seen["outcomes"])
        records = {name: tables.records(pipeline, name) for name in ("accepted", "labels")}

        since = pipeline.time.known_at(champion.as_of)
        contents = measurable(pipeline, records, since=since, version=champion.number)
        due = find_due(contents, seen["measured"], news={*answered, *told})

        now = {"measured": contents, "answers": answers, "outcomes": outcomes}
        if not due:
            return dg.SensorResult(
                skip_reason=f"nothing new in {len(contents)} partitions after {champion.as_of}", cursor=json.dumps(now)
            )
        return dg.SensorResult(run_requests=_requests(pipeline, due, now, assets), cursor=json.dumps(now))

    return monitoring


def _requests(
    pipeline: Pipeline, due: list[str], now: dict[str, Any], assets: list[dg.AssetKey]
) -> list[dg.RunRequest]:
    return [
        dg.RunRequest(
            run_key=f"{pipeline.name}/monitoring/{fingerprint([span, now])}",
            asset_selection=assets,
            tags={
                **partition_tags(span),
                **reason_tag(f"new rows, answers or outcomes: {span[0]} to {span[1]}"),
            },
        )
        for span in ranges_of(pipeline.monitoring_time, due, longest=MOST_PARTITIONS)
    ]
