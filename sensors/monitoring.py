"""Monitoring: measures each partition with new answers, outcomes or rows, and its drift from what serves."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from perennial.declaration import Pipeline
from perennial.deployment import Version
from perennial.graph.ranges import Range, ranges_of
from perennial.graph.stages import ANSWERED, MONITORING
from perennial.ingestion.arrivals import MOST_PARTITIONS, fingerprint
from perennial.monitoring.due import find_due, matchable, measurable
from perennial.settings import Home
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Tables
from perennial.stores.production.inference_log import pending_partitions
from resources.tags import partition_tags, reason_tag
from sensors.automation import keys_of, pipeline_sensor
from sensors.progress import Attempt, next_attempt, runs_of

EMPTY: dict[str, Any] = {"measured": {}, "matched": {}, "waiting": [], "answers": None, "outcomes": 0, "asked": {}}
"""What a sensor that never asked for anything has seen.

`waiting` holds the partitions with answers or outcomes that are not over, and so none of Dagster's yet;
`asked`, by run key, what no run has done yet.
"""


def build_monitoring(pipeline: Pipeline) -> dg.SensorDefinition:
    """Build the sensor that has `pipeline` measured in production."""
    assets = keys_of(pipeline, MONITORING)

    @pipeline_sensor(
        pipeline,
        "monitoring",
        MONITORING,
        every=15,
        description="Asks for performance and drift of partitions with new rows, new answers or new outcomes.",
    )
    def monitoring(
        context: dg.SensorEvaluationContext,
        tables: dg.ResourceParam[Tables],
        home: dg.ResourceParam[Home],
        clock: dg.ResourceParam[Clock],
    ) -> dg.SensorResult | dg.SkipReason:
        champion = tables.operations.champion(pipeline.name)
        if champion is None:
            return dg.SkipReason("nothing serves yet: there is nothing to measure against")
        if runs := runs_of(context.instance, assets):
            return dg.SkipReason(f"run {runs[0].run_id[:8]} is measuring; the rest follows when it has ended")
        seen = {**EMPTY, **json.loads(context.cursor or "{}")}
        attempts = {key: next_attempt(context.instance, key) for key in seen["asked"]}
        if again := {key: attempt.key for key, attempt in attempts.items() if attempt.key}:
            return _ask(pipeline, {run_key: seen["asked"][key] for key, run_key in again.items()}, seen)

        answers = pending_partitions(home, pipeline.name, seen["answers"])
        now, asks = _look(pipeline, tables, answers, champion, seen, at=clock.now())

        given_up = {key: seen["asked"][key] for key, attempt in attempts.items() if not attempt.succeeded}
        now["asked"] = _without(given_up, asks.values()) | asks
        if not asks:
            told = [f"nothing new in {len(now['measured'])} partitions after the champion's as-of"]
            told += [_told(asked, attempts[key]) for key, asked in given_up.items()]
            return dg.SensorResult(skip_reason="; ".join(told), cursor=json.dumps(now))
        return _ask(pipeline, asks, now)

    return monitoring


Asked = dict[str, Any]
"""What one run is asked for: the `span` of partitions and the `names` of assets."""


def _look(
    pipeline: Pipeline,
    tables: Tables,
    pending: tuple[str, set[str]],
    champion: Version,
    seen: dict[str, Any],
    *,
    at: datetime,
) -> tuple[dict[str, Any], dict[str, Asked]]:
    """What there is to measure now, and what to ask for, by run key."""
    answers, answered = pending
    outcomes, told = tables.operations.feedback_since(pipeline.name, seen["outcomes"])
    records = {name: tables.records(pipeline, name) for name in ("accepted", "labels")}
    met = {key for key, record in tables.records(pipeline, "ground_truth").items() if record.rows}
    news = {*answered, *told, *seen["waiting"]}

    since = pipeline.time.window(champion.window_end).end
    drift = measurable(pipeline, records, since=since, version=champion.number)
    truth, waiting = matchable(pipeline, records["labels"], {*met, *seen["matched"], *news}, now=at)
    matched = find_due(truth, seen["matched"], news=news)
    whole = {*find_due(drift, seen["measured"], news=news), *(key for key in matched if key in drift)}

    now = {"measured": drift, "matched": truth, "waiting": waiting, "answers": answers, "outcomes": outcomes}
    asks: dict[str, Asked] = {}
    for names, due in ((ANSWERED, set(matched) - whole), (MONITORING, whole)):
        for span in ranges_of(pipeline.monitoring_time, due, longest=MOST_PARTITIONS):
            asked = {"span": list(span), "names": list(names)}
            asks[f"{pipeline.name}/monitoring/{fingerprint([asked, now])}"] = asked
    return now, asks


def _without(given_up: dict[str, Asked], asks: Iterable[Asked]) -> dict[str, Asked]:
    """What was given up and is not asked for anew in full."""
    return {key: old for key, old in given_up.items() if not any(_covers(new, old) for new in asks)}


def _covers(new: Asked, old: Asked) -> bool:
    (first, last), names = new["span"], set(new["names"])
    return first <= old["span"][0] and old["span"][1] <= last and names >= set(old["names"])


def _told(asked: Asked, attempt: Attempt) -> str:
    return f"{_words(asked['span'])}: {attempt.ended}"


def _words(span: Sequence[str]) -> str:
    return f"{span[0]} to {span[1]}"


def _ask(pipeline: Pipeline, asks: dict[str, Asked], seen: dict[str, Any]) -> dg.SensorResult:
    """Ask for a run a run key, and keep what was `seen`."""
    requests = [_request(pipeline, run_key, asked) for run_key, asked in asks.items()]
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(seen))


def _request(pipeline: Pipeline, run_key: str, asked: Asked) -> dg.RunRequest:
    span: Range = (asked["span"][0], asked["span"][1])
    return dg.RunRequest(
        run_key=run_key,
        asset_selection=keys_of(pipeline, asked["names"]),
        tags={**partition_tags(span), **reason_tag(f"new rows, answers or outcomes: {_words(span)}")},
    )
