"""Launcher: runs on this machine, and the truth about those whose process died.

Dagster's own launcher cannot tell whether a started run still has a process, so that after a crash of
the whole machine a run stays started for ever. A run's first engine event names its process.
"""

import os
from pathlib import Path

from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, DefaultRunLauncher
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

from resources.tags import PROCESS

LOST = "The run's process is gone: it was killed, or the machine went down."
CLOCK_TICK = 1.0
"""Seconds by which a process may seem younger than the event it wrote (the kernel counts from boot)."""


class LocalRunLauncher(DefaultRunLauncher):
    """Dagster's launcher for one machine; run monitoring may ask it whether a run's process lives."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: the operating system knows."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """RUNNING, or FAILED when the process that wrote the run's first event is gone."""
        if is_lost(self._instance, run):
            return CheckRunHealthResult(WorkerStatus.FAILED, LOST)
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def is_lost(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Whether the process that executed `run` is gone; a run that names none is not lost."""
    for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        pid = event.engine_event_data.metadata.get("pid") if event else None
        if pid is not None:
            return not _lives(int(str(pid.value)), since=entry.timestamp)
    return _died_at_birth(instance, run)


def _died_at_birth(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Whether the process that made `run` for itself is gone, killed before the run's first event."""
    pid, record = run.tags.get(PROCESS), instance.get_run_record_by_id(run.run_id)
    if pid is None or record is None or run.parent_run_id or run.status is not DagsterRunStatus.NOT_STARTED:
        return False
    return not _lives(int(pid), since=record.create_timestamp.timestamp())


def _lives(pid: int, *, since: float) -> bool:
    """Whether process `pid` runs and is the one that already ran at `since`: numbers are used again."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").is_file():  # no Linux: believe the number
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    try:
        state, *fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    boot = next(
        float(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime")
    )
    started = boot + float(fields[18]) / os.sysconf("SC_CLK_TCK")
    return state != "Z" and started <= since + CLOCK_TICK
