"""Alerts: a run that failed is told to a person; one that was refused is a decision, and is not.

The alert ends when a later run does what the failed one was to do; that of a run in which nothing failed but
partitions that were blocked, when each of these stands, whatever mended it.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import dagster as dg

from perennial.declaration import Pipeline
from perennial.graph.lineage import STEPS, Standing
from perennial.graph.stages import data_assets
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Tables
from resources.blocked import blocked_in
from resources.failures import is_refused, step_errors
from resources.tags import PARTITION, RANGE_END, RANGE_START, REASON, WILL_RETRY

KIND = "failed_run"


def build_failed_runs(pipelines: Sequence[Pipeline]) -> dg.SensorDefinition:
    """Build the sensor that raises an alert for each failed run of the code location.

    What such a run mended of `pipelines` before it failed ends an earlier alert all the same.
    """
    declared = {pipeline.name: pipeline for pipeline in pipelines}

    @dg.run_failure_sensor(
        name="failed_runs",
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Raises an alert for a run that failed and is not tried again; a refusal raises none.",
    )
    def failed_runs(
        context: dg.RunFailureSensorContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> dg.SkipReason:
        run = context.instance.get_run_by_id(context.dagster_run.run_id) or context.dagster_run
        pipeline = _pipeline_of(run)
        said = _tell(tables, run, pipeline, context, at=clock.now())
        # Dagster never tells of this run again: what cannot be closed must not keep its own alert from being raised.
        _close(context.instance, tables, declared.get(pipeline), pipeline, at=clock.now())
        return dg.SkipReason(said)

    return failed_runs


def _tell(
    tables: Tables, run: dg.DagsterRun, pipeline: str, context: dg.RunFailureSensorContext, *, at: datetime
) -> str:
    """Raise the alert of the failed `run`, or say why it has none."""
    errors = step_errors(context.get_step_failure_events())
    if run.tags.get(WILL_RETRY) == "true":
        return f"run {run.run_id} is tried again"
    if is_refused(errors):
        return f"run {run.run_id} was refused: {'; '.join(map(str, errors))}"
    why = "; ".join(map(str, errors)) or context.failure_event.message or "it left no error"
    message = f"run {run.run_id} failed: {why} (started for: {run.tags.get(REASON, 'no reason given')})"
    tables.operations.raise_alert(pipeline, KIND, run.root_run_id or run.run_id, message, at=at)
    return f"alert raised: {message}"


def build_mended_runs(pipelines: Sequence[Pipeline]) -> dg.SensorDefinition:
    """Build the sensor that closes the alert of a failed run of `pipelines` when a later run does its work."""
    declared = {pipeline.name: pipeline for pipeline in pipelines}

    @dg.run_status_sensor(
        name="mended_runs",
        run_status=dg.DagsterRunStatus.SUCCESS,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Closes the alert of a failed run when a later run does its work, or what it blocked stands.",
    )
    def mended_runs(
        context: dg.RunStatusSensorContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> dg.SkipReason:
        run, pipeline = context.dagster_run, _pipeline_of(context.dagster_run)
        closed = _close(context.instance, tables, declared.get(pipeline), pipeline, at=clock.now(), success=run)
        return dg.SkipReason(f"alerts closed: {', '.join(closed) or 'none'}")

    return mended_runs


def _close(
    instance: dg.DagsterInstance,
    tables: Tables,
    declared: Pipeline | None,
    pipeline: str,
    *,
    at: datetime,
    success: dg.DagsterRun | None = None,
) -> list[str]:
    """Close the alerts of failed runs of `pipeline` whose work the run `success` did, or what they blocked stands."""
    standing = tables.standing(declared) if declared else None
    closed = []
    for alert in tables.operations.open_alerts(pipeline):
        if alert.kind != KIND:
            continue
        mended = success is not None and _mends(instance, success, alert.key)
        if mended or (standing is not None and _stands(instance, standing, alert.key)):
            tables.operations.close_alert(pipeline, KIND, alert.key, at=at)
            closed.append(alert.key)
    return closed


def _mends(instance: dg.DagsterInstance, run: dg.DagsterRun, failed_id: str) -> bool:
    """Whether `run`, a success, began after the run `failed_id` and did all that it was to do.

    A training of a later as-of stands in for an earlier one, which nobody needs any more.
    """
    failed, succeeded = instance.get_run_record_by_id(failed_id), instance.get_run_record_by_id(run.run_id)
    if failed is None or succeeded is None or succeeded.create_timestamp < failed.create_timestamp:
        return False
    if run.root_run_id == failed_id:
        return True
    wanted, made = failed.dagster_run.asset_selection or frozenset(), run.asset_selection or frozenset()
    if failed.dagster_run.job_name != run.job_name or not wanted <= made:
        return False
    (first, last), (begin, end) = _span(failed.dagster_run), _span(run)
    return last <= end and (begin <= first or _is_training(wanted))


def _stands(instance: dg.DagsterInstance, standing: Standing, failed_id: str) -> bool:
    """Whether all that the run `failed_id` blocked, and nothing else failed in it, may be read now."""
    failed = instance.get_run_record_by_id(failed_id)
    if failed is None:
        return False
    wanted = {key.path[-1] for key in failed.dagster_run.asset_selection or ()}
    if not wanted <= set(data_assets(standing.pipeline)):
        return False
    steps, (first, last) = wanted & set(STEPS), _span(failed.dagster_run)
    # Its log is long, and read again for each run that ends: first ask the manifest whether any of it may be mended.
    if not any(_is_ok(standing, key, steps) for key in standing.history("landed") if first <= key <= last):
        return False
    blocked, began = blocked_in(instance, failed_id), failed.create_timestamp.astimezone(UTC)
    return bool(blocked) and all(
        _was_read(standing, key, names, since=began) and not any(standing.problem_with(name, key) for name in steps)
        for key, names in blocked.items()
    )


def _is_ok(standing: Standing, key: str, names: Iterable[str]) -> bool:
    """Whether the manifest has no block of partition `key` in tables `names`, up to date or not."""
    records = [standing.record(name, key) for name in names]
    return all(record is not None and record.status == "ok" for record in records)


def _was_read(standing: Standing, key: str, blocked: Iterable[str], *, since: datetime) -> bool:
    """Whether the source of `key` was read well `since` then, where that is what failed: its old rows may stand."""
    record = standing.record("landed", key)
    written = record.written_at if record else None
    return "landed" not in blocked or (written is not None and written > since)


def _span(run: dg.DagsterRun) -> tuple[str, str]:
    """The first and the last partition of the run, whose keys sort by time; empty when it has none."""
    one = run.tags.get(PARTITION, "")
    return run.tags.get(RANGE_START, one), run.tags.get(RANGE_END, one)


def _is_training(assets: Iterable[dg.AssetKey]) -> bool:
    return any(key.path[-1] == "training_set" for key in assets)


def _pipeline_of(run: dg.DagsterRun) -> str:
    """The pipeline whose assets the run was to make; the job's name when it names none."""
    return min((key.path[0] for key in run.asset_selection or ()), default=run.job_name)
