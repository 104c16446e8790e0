"""Recovery: a run that a crash of the machine took is found and tried again by the next daemon."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dagster import DagsterRunStatus

from cli.services import Service
from cli.up import ServiceEnded, run_stack
from perennial.settings import Home
from resources.instance import open_instance

LOCATION = """
import os, time
from pathlib import Path
import dagster as dg

FOLDER = Path(__file__).parent / "attempts"

@dg.op
def attempt(context):
    first = not list(FOLDER.iterdir())
    (FOLDER / context.run_id).write_text(f"{os.getpid()} {os.getppid()}")
    while first:
        time.sleep(0.05)

@dg.job(executor_def=dg.in_process_executor)
def work():
    attempt()

@dg.sensor(job=work, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def once(context):
    return dg.RunRequest(run_key="once")

defs = dg.Definitions(jobs=[work], sensors=[once])
"""


@pytest.mark.daemon
def test_a_run_lost_with_its_code_server_is_failed_and_tried_again(home: Home, tmp_path: Path) -> None:
    attempts = tmp_path / "attempts"
    attempts.mkdir()
    (tmp_path / "location.py").write_text(LOCATION)
    command = [sys.executable, "-m", "dagster._daemon", "run", "-f", str(tmp_path / "location.py")]
    daemon = {"daemon": lambda _home: Service(name="daemon", title="Daemon", command=command, ready=lambda: True)}

    with run_stack(home, daemon, say=lambda _line: None) as stack:
        wait(lambda: any(path.read_text() for path in attempts.iterdir()))
        lifeline = stack.running[0].lifeline.pid
        children = Path(f"/proc/{lifeline}/task/{lifeline}/children").read_text().split()
        for pid in [*next(attempts.iterdir()).read_text().split(), *children]:
            os.kill(int(pid), signal.SIGKILL)
        with pytest.raises(ServiceEnded):
            stack.watch()
    with open_instance(home, os.environ) as instance:
        (lost,) = instance.get_runs()
        assert lost.status is DagsterRunStatus.STARTED
    with run_stack(home, daemon, say=lambda _line: None):
        wait(lambda: len(list(attempts.iterdir())) == 2)
        with open_instance(home, os.environ) as instance:
            wait(lambda: instance.get_runs()[0].status is DagsterRunStatus.SUCCESS)

            again, lost = instance.get_runs()

    assert lost.status is DagsterRunStatus.FAILURE
    assert again.parent_run_id == lost.run_id
    with open_instance(home, os.environ) as instance:
        messages = [
            entry.dagster_event.message or "" for entry in instance.all_logs(lost.run_id) if entry.dagster_event
        ]
    assert any("process is gone" in message for message in messages), messages


def wait(claim: Callable[[], bool], within: float = 150.0) -> None:
    deadline = time.monotonic() + within
    while not claim():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
