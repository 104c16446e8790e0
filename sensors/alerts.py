"""Alerts: a run that failed is told to a person; one that was refused is a decision, and is not."""

import dagster as dg

from perennial.stores.clock import Clock
from perennial.stores.operations import Operations
from resources.failures import is_refused, step_errors
from resources.tags import REASON, WILL_RETRY

KIND = "failed_run"


def build_failed_runs() -> dg.SensorDefinition:
    """Build the sensor that raises an alert for each failed run of the code location."""

    @dg.run_failure_sensor(
        name="failed_runs",
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Raises an alert for a run that failed and is not tried again; a refusal raises none.",
    )
    def failed_runs(
        context: dg.RunFailureSensorContext, operations: dg.ResourceParam[Operations], clock: dg.ResourceParam[Clock]
    ) -> dg.SkipReason:
        run = context.instance.get_run_by_id(context.dagster_run.run_id) or context.dagster_run
        errors = step_errors(context.get_step_failure_events())
        if run.tags.get(WILL_RETRY) == "true":
            return dg.SkipReason(f"run {run.run_id} is tried again")
        if is_refused(errors):
            return dg.SkipReason(f"run {run.run_id} was refused: {'; '.join(map(str, errors))}")

        pipeline = _pipeline_of(run)
        why = "; ".join(map(str, errors)) or context.failure_event.message or "it left no error"
        message = f"run {run.run_id} failed: {why} (started for: {run.tags.get(REASON, 'no reason given')})"
        operations.raise_alert(pipeline, KIND, run.root_run_id or run.run_id, message, at=clock.now())
        return dg.SkipReason(f"alert raised: {message}")

    return failed_runs


def _pipeline_of(run: dg.DagsterRun) -> str:
    """The pipeline whose assets the run was to make; the job's name when it names none."""
    return min((key.path[0] for key in run.asset_selection or ()), default=run.job_name)
