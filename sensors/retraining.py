"""Retraining: trains a challenger when labels, drift, value skew or the calendar ask for it, and says why when not."""

from typing import Any, Literal

import dagster as dg

from perennial.declaration import Pipeline
from perennial.graph.stages import data_assets, training_assets
from perennial.ingestion.arrivals import fingerprint
from perennial.retraining import Evidence, NotNow, Train, decide_retraining
from perennial.stores.clock import Clock
from perennial.stores.models.retraining import TrainingHistory
from resources.tags import reason_tag
from sensors.automation import keys_of, pipeline_sensor
from sensors.progress import run_with_key, runs_of

Answer = dg.RunRequest | dg.SkipReason


def build_retraining(pipeline: Pipeline) -> dg.SensorDefinition:
    """Build the sensor that retrains `pipeline` on new labels and on drift."""

    @pipeline_sensor(
        pipeline,
        "retraining",
        training_assets(pipeline),
        every=15,
        description="Trains the newest complete as-of when labels, drift or value skew ask for it; says why when not.",
    )
    def retraining(
        context: dg.SensorEvaluationContext,
        training_history: dg.ResourceParam[TrainingHistory],
        clock: dg.ResourceParam[Clock],
    ) -> Answer:
        return _ask(context.instance, pipeline, training_history, clock, by="sensor")

    return retraining


def build_schedule(pipeline: Pipeline) -> dg.ScheduleDefinition | None:
    """Build the schedule that trains `pipeline` by its calendar, when it declares one."""
    cron = pipeline.retraining.schedule
    if cron is None:
        return None

    @dg.schedule(
        name=f"{pipeline.name}_schedule",
        cron_schedule=cron,
        target=dg.AssetSelection.assets(*keys_of(pipeline, training_assets(pipeline))),
        execution_timezone=pipeline.time.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Trains the newest as-of with all data there that is not trained yet.",
        tags={"pipeline": pipeline.name},
    )
    def schedule(
        context: dg.ScheduleEvaluationContext,
        training_history: dg.ResourceParam[TrainingHistory],
        clock: dg.ResourceParam[Clock],
    ) -> Answer:
        return _ask(context.instance, pipeline, training_history, clock, by="schedule")

    return schedule


def _ask(
    instance: dg.DagsterInstance,
    pipeline: Pipeline,
    history: TrainingHistory,
    clock: Clock,
    *,
    by: Literal["sensor", "schedule"],
) -> Answer:
    under_way = _under_way(instance, pipeline)
    if under_way:
        return dg.SkipReason(under_way)

    evidence = history.evidence(pipeline, now=clock.now(), scheduled=by == "schedule")
    decision = decide_retraining(evidence, pipeline.retraining)

    subject = evidence.newest.key if evidence.newest else "no as-of"
    if isinstance(decision, NotNow):
        return _decline(pipeline, history, clock, subject, "; ".join(decision.reasons), by=by)
    key = f"{pipeline.name}/training/{_evidence_key(evidence)}"
    earlier = run_with_key(instance, key)
    if earlier is not None:
        asked = f"run {earlier.run_id[:8]} was asked for on the same evidence"
        ended = f"{asked} and ended as {earlier.status.value.lower()}: run it again by hand"
        return _decline(pipeline, history, clock, subject, ended, by=by)
    reason = "; ".join(decision.reasons)
    history.tables.operations.append_decision(
        pipeline.name, "retraining", decision.as_of, reason, _details(decision, key), at=clock.now(), actor=by
    )
    return dg.RunRequest(
        run_key=key,
        partition_key=decision.as_of,
        asset_selection=keys_of(pipeline, training_assets(pipeline)),
        tags={**reason_tag(reason), "perennial/triggers": ",".join(decision.triggers)},
    )


def _under_way(instance: dg.DagsterInstance, pipeline: Pipeline) -> str | None:
    """Why the question is not asked yet: what it rests on is being written."""
    for what, names in (("a training", ("training_set", "release")), ("its data", data_assets(pipeline))):
        runs = runs_of(instance, keys_of(pipeline, names))
        if runs:
            return f"{what} is under way in run {runs[0].run_id[:8]}; the question is asked again when it has ended"
    return None


def _decline(
    pipeline: Pipeline, history: TrainingHistory, clock: Clock, subject: str, reason: str, *, by: str
) -> Answer:
    history.tables.operations.append_decision(pipeline.name, "not_now", subject, reason, at=clock.now(), actor=by)
    return dg.SkipReason(reason)


def _evidence_key(evidence: Evidence) -> str:
    """Equal when a training would read the same and be judged against the same champion."""
    newest, champion = evidence.newest, evidence.champion
    return fingerprint([newest and (newest.key, newest.evidence), champion and champion.version])


def _details(decision: Train, run_key: str) -> dict[str, Any]:
    return {"triggers": list(decision.triggers), "run_key": run_key}
