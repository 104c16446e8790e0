"""Launcher: a run whose process died does not stay started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from perennial.settings import Home
from resources.instance import open_instance
from resources.launcher import LOST, _lives, is_lost
from resources.runs import end_lost_runs

JOB = """
import os, sys, time
from pathlib import Path
import dagster as dg
from perennial.settings import find_home
from resources.instance import open_instance

@dg.op
def wait():
    Path(sys.argv[1]).write_text("started")
    while True:
        time.sleep(0.05)

@dg.job(executor_def=dg.in_process_executor)
def endless():
    wait()

with open_instance(find_home(os.environ), os.environ) as instance:
    endless.execute_in_process(instance=instance)
"""


@pytest.fixture
def instance(home: Home, monkeypatch: pytest.MonkeyPatch) -> DagsterInstance:
    for name in home.environment:
        monkeypatch.setenv(name, "")
    return open_instance(home, os.environ)


def test_a_killed_run_is_failed_once_and_a_living_one_is_left_alone(instance: DagsterInstance, tmp_path: Path) -> None:
    with instance:
        started = tmp_path / "started"
        process = subprocess.Popen(
            [sys.executable, "-c", JOB, str(started)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not started.exists():
            assert process.poll() is None
        (run,) = instance.get_runs()
        assert run.status is DagsterRunStatus.STARTED
        assert end_lost_runs(instance) == []
        assert instance.run_launcher.check_run_worker_health(run).status.value == "RUNNING"

        process.send_signal(signal.SIGKILL)
        process.wait()

        assert instance.run_launcher.check_run_worker_health(run).msg == LOST
        assert end_lost_runs(instance) == [run.run_id]
        assert end_lost_runs(instance) == []
        (run,) = instance.get_runs()
        assert run.status is DagsterRunStatus.FAILURE


def test_a_run_that_names_no_process_is_not_lost(instance: DagsterInstance) -> None:
    @dg.job
    def nothing() -> None: ...

    with instance:
        run = instance.create_run_for_job(nothing)

        assert not is_lost(instance, run)


def test_a_number_used_again_is_another_process() -> None:
    assert _lives(os.getpid(), since=4e9)
    assert not _lives(os.getpid(), since=1.0)
    assert not _lives(2**22 + 1, since=4e9)
