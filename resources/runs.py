"""Runs: the assets of the code location, executed in this process and recorded as if the UI had launched them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.events import EngineEventData
from dagster._core.execution.api import execute_run_iterator
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from resources.failures import StepError, step_errors
from resources.launcher import LOST, is_lost
from resources.tags import PROCESS, Keys, partition_tags

LOCATION, MODULE = "perennial", "pipelines.definitions"
"""The code location, as `workspace.yaml` names it."""

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Everything goes to the event log; the terminal belongs to the command's own progress."""
UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended."""

    run_id: str
    success: bool
    errors: tuple[StepError, ...]
    """Of its failed steps, in order."""


def run_assets(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    assets: Sequence[dg.AssetKey],
    keys: Keys,
    *,
    tags: Mapping[str, str],
    on_event: Callable[[dg.EventLogEntry], None] | None = None,
) -> RunResult:
    """Execute `assets` for one partition or a range, as a run of the code location's own asset job.

    `on_event` is called with each event as soon as it is stored. A crash of this process leaves a run
    that `end_lost_runs` and the daemon's run monitoring recognise, and that nobody tries again unasked.
    """
    job = definitions.resolve_implicit_global_asset_job_def()
    run = instance.create_run_for_job(
        job,
        run_config=QUIET,
        tags={"dagster/max_retries": "0", PROCESS: str(os.getpid()), **partition_tags(keys), **tags},
        asset_selection=frozenset(assets),
        remote_job_origin=_origin().get_job_origin(job.name),
    )
    # The same event by which Dagster's launcher names the process of a run; see resources/launcher.py.
    pid = os.getpid()
    instance.report_engine_event(f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid))
    if on_event:
        instance.add_event_listener(run.run_id, on_event)
    errors = step_errors(execute_run_iterator(InMemoryJob(job), run, instance))
    ended = instance.get_run_by_id(run.run_id)
    return RunResult(run_id=run.run_id, success=ended is not None and ended.is_success, errors=errors)


def end_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report as failed every unfinished run whose process is gone; return their ids.

    Run retries then try again those that a sensor, a schedule or a person launched.
    """
    lost = [run for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)) if is_lost(instance, run)]
    ended: list[str] = []
    for run in lost:
        now = instance.get_run_by_id(run.run_id)
        if now is not None and now.status in UNFINISHED:  # it may have ended between the two looks
            instance.report_run_failed(now, LOST)
            ended.append(run.run_id)
    return ended


def _origin() -> RemoteRepositoryOrigin:
    """The code location that the web UI and the daemon load, so that they know the run as their own."""
    target = LoadableTargetOrigin(module_name=MODULE)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(loadable_target_origin=target, location_name=LOCATION)
    return RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME)
