"""Runs: what the command line runs is a run like any other, and none is left as started."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from perennial.settings import Home
from resources.instance import open_instance
from resources.launcher import LOST
from resources.runs import end_lost_runs, run_assets
from resources.tags import ACTOR, REASON

DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-02-01")
FIRST, SECOND = dg.AssetKey(["eta", "landed"]), dg.AssetKey(["eta", "accepted"])


@dg.asset(key=FIRST, partitions_def=DAYS)
def landed(context: dg.AssetExecutionContext) -> None:
    """Rows."""
    sys.stdout.write("said by the asset\n")


@dg.asset(key=SECOND, deps=[FIRST], partitions_def=DAYS)
def accepted(context: dg.AssetExecutionContext) -> None:
    """Good rows."""
    if "2024-01-13" in context.partition_keys:
        raise ValueError("friday: the 13th")


QUEUED = dg.DagsterRunStatus.QUEUED
DEFINITIONS = dg.Definitions(assets=[landed, accepted], executor=dg.in_process_executor)


@pytest.fixture
def instance(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name in home.environment:
        monkeypatch.setenv(name, "")
    with open_instance(home, os.environ) as instance:
        yield instance


def test_a_range_is_one_run_that_the_ui_knows_as_its_own(instance: dg.DagsterInstance) -> None:
    tags = {REASON: "a test", ACTOR: "nobody"}

    result = run_assets(instance, DEFINITIONS, [FIRST, SECOND], ("2024-01-01", "2024-01-05"), tags=tags)

    (run,) = instance.get_runs()
    assert result.success
    assert run.run_id == result.run_id
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert run.asset_selection == {FIRST, SECOND}
    assert run.tags[REASON] == "a test"
    assert run.tags["dagster/asset_partition_range_end"] == "2024-01-05"
    assert run.remote_job_origin is not None
    assert run.remote_job_origin.repository_origin.get_label() == "__repository__@perennial"
    assert instance.get_materialized_partitions(SECOND) == set(DAYS.get_partition_keys()[:5])


def test_events_are_told_while_the_run_goes_on(instance: dg.DagsterInstance) -> None:
    told: list[str] = []

    def on_event(entry: dg.EventLogEntry) -> None:
        if entry.dagster_event is not None and entry.dagster_event.is_step_materialization:
            assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.STARTED]
            told.append(str(entry.dagster_event.partition))

    run_assets(instance, DEFINITIONS, [FIRST], ("2024-01-01", "2024-01-03"), tags={}, on_event=on_event)

    assert told == ["2024-01-01", "2024-01-02", "2024-01-03"]


def test_a_failed_step_gives_its_own_words(instance: dg.DagsterInstance) -> None:
    result = run_assets(instance, DEFINITIONS, [FIRST, SECOND], "2024-01-13", tags={})

    assert not result.success
    assert [(e.step, e.kind, e.message) for e in result.errors] == [("eta__accepted", "ValueError", "friday: the 13th")]
    assert instance.get_materialized_partitions(FIRST) == {"2024-01-13"}


def test_a_run_that_waits_in_the_queue_is_not_lost(instance: dg.DagsterInstance) -> None:
    run = run_assets(instance, DEFINITIONS, [SECOND], "2024-01-02", tags={})
    done = instance.get_run_by_id(run.run_id)
    assert done is not None
    queued = instance.add_run(done._replace(run_id="11111111-1111-4111-8111-111111111111", status=QUEUED))

    assert end_lost_runs(instance) == []
    assert instance.get_run_by_id(queued.run_id) == queued


def test_only_what_was_asked_for_runs(instance: dg.DagsterInstance) -> None:
    run_assets(instance, DEFINITIONS, [SECOND], "2024-01-02", tags={})

    assert instance.get_materialized_partitions(FIRST) == set()
    assert instance.get_materialized_partitions(SECOND) == {"2024-01-02"}


def test_the_terminal_is_left_to_the_command(instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]) -> None:
    run_assets(instance, DEFINITIONS, [SECOND], "2024-01-02", tags={})

    assert capfd.readouterr() == ("", "")


ENDLESS = """
import os, sys, time
from pathlib import Path
import dagster as dg
from perennial.settings import find_home
from resources.instance import open_instance
from resources.runs import run_assets

@dg.asset
def endless() -> None:
    Path(sys.argv[1]).write_text("started")
    while True:
        time.sleep(0.02)

definitions = dg.Definitions(assets=[endless], executor=dg.in_process_executor)
with open_instance(find_home(os.environ), os.environ) as instance:
    run_assets(instance, definitions, [dg.AssetKey("endless")], "2024-01-01", tags={})
"""


def start_endless_run(started: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(started)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not started.exists():
        assert process.poll() is None
    return process


def test_a_run_whose_process_was_killed_is_ended_once(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    process = start_endless_run(tmp_path / "started")
    assert end_lost_runs(instance) == []

    process.send_signal(signal.SIGKILL)
    process.wait()

    (run,) = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.STARTED
    assert end_lost_runs(instance) == [run.run_id]
    assert end_lost_runs(instance) == []
    (run,) = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert run.tags["dagster/will_retry"] == "false"
    failed = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert [entry.dagster_event.message for entry in failed if entry.dagster_event] == [LOST]


DIES_AT_BIRTH = ENDLESS.replace(
    "import dagster as dg\n",
    """import dagster as dg
dg.DagsterInstance.report_engine_event = lambda *_, **__: os.kill(os.getpid(), 9)
""",
)


def test_a_run_whose_process_was_killed_before_its_first_event_is_ended(instance: dg.DagsterInstance) -> None:
    process = subprocess.run([sys.executable, "-c", DIES_AT_BIRTH, "nowhere"], check=False, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr

    (run,) = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.NOT_STARTED
    assert end_lost_runs(instance) == [run.run_id]
    assert end_lost_runs(instance) == []


def test_ctrl_c_leaves_no_run_behind(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    process = start_endless_run(tmp_path / "started")

    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)

    assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]
    assert end_lost_runs(instance) == []
