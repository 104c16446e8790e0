"""Checks: a check that fails in a run that succeeded is told once, and the alert ends when the check passes."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned

from resources.runs import run_assets
from sensors.checks import build_failed_checks
from tests.sensors.conftest import World

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
DAYS = dg.StaticPartitionsDefinition(["2024-01-01", "2024-01-02", "2024-01-03"])
ANSWERS: dict[str, Any] = {}
"""What the check of each partition is to find: passed, severity, and whether the run fails."""


@dg.multi_asset(
    specs=[dg.AssetSpec(["eta", "accepted"], partitions_def=DAYS)],
    check_specs=[dg.AssetCheckSpec("holds", asset=["eta", "accepted"])],
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def accepted(context: dg.AssetExecutionContext) -> Any:
    for key, (passed, severity) in ANSWERS["found"].items():
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(["eta", "accepted"]), check_name="holds", partition=key, passed=passed,
                metadata={}, severity=severity, description=f"{key} has 7 rows",
            )
        )  # fmt: skip
    if ANSWERS["fails"]:
        raise ValueError("the disk is full")
    yield dg.Output(None, output_name="eta__accepted")


DEFINITIONS = dg.Definitions(assets=[accepted], executor=dg.in_process_executor)


def evaluate(world: World, found: Mapping[str, tuple[bool, dg.AssetCheckSeverity]], *, fails: bool = False) -> str:
    """Leave a run whose check found this; returns its id."""
    ANSWERS.update(found=found, fails=fails)
    keys = ("2024-01-01", "2024-01-03")
    return run_assets(world.instance, DEFINITIONS, [dg.AssetKey(["eta", "accepted"])], keys, tags={}).run_id


def tick(world: World, cursor: str | None) -> tuple[str, str]:
    """What the sensor says, and its next cursor."""
    answer = world.tick(build_failed_checks(), cursor)
    return str(answer.skip_message), str(answer.cursor)


def alerts(world: World) -> list[tuple[str, str]]:
    return [(alert.kind, alert.key) for alert in world.operations.open_alerts("eta")]


def test_a_failed_check_is_told_with_its_reason_and_where_to_look_and_once(world: World) -> None:
    run_id = evaluate(world, {"2024-01-01": (False, ERROR), "2024-01-02": (True, ERROR), "2024-01-03": (False, WARN)})

    _, cursor = tick(world, None)
    said, again = tick(world, cursor)

    one, two = world.operations.open_alerts("eta")
    assert (one.kind, one.key, one.times) == ("failed_check", "eta/accepted holds 2024-01-01", 1)
    assert (two.kind, two.key, two.times) == ("check_warns", "eta/accepted holds 2024-01-03", 1)
    assert one.message == (
        "holds of eta/accepted 2024-01-01 fails: 2024-01-01 has 7 rows (run "
        f"{world.home.dagster_ui}/runs/{run_id}, asset {world.home.dagster_ui}/assets/eta/accepted?view=checks)"
    )
    assert said == "0 evaluations read, 0 wait for their run"
    assert again == cursor


def test_it_is_closed_when_the_check_passes_for_the_same_partition_and_not_for_another(world: World) -> None:
    evaluate(world, {"2024-01-01": (False, ERROR), "2024-01-02": (False, ERROR)})
    _, cursor = tick(world, None)

    evaluate(world, {"2024-01-02": (True, ERROR), "2024-01-03": (True, ERROR)})
    tick(world, cursor)

    assert alerts(world) == [("failed_check", "eta/accepted holds 2024-01-01")]


def test_what_only_warned_ends_with_a_later_partition_that_passes(world: World) -> None:
    evaluate(world, {"2024-01-01": (False, WARN), "2024-01-03": (False, WARN)})
    _, cursor = tick(world, None)

    evaluate(world, {"2024-01-02": (True, WARN)})
    tick(world, cursor)

    assert alerts(world) == [("check_warns", "eta/accepted holds 2024-01-03")]


def test_a_failed_run_is_told_by_its_own_alert_and_what_passed_in_it_still_closes(world: World) -> None:
    evaluate(world, {"2024-01-01": (False, ERROR)})
    _, cursor = tick(world, None)

    evaluate(world, {"2024-01-01": (True, ERROR), "2024-01-02": (False, ERROR)}, fails=True)
    tick(world, cursor)

    assert alerts(world) == []


def test_a_check_of_an_unfinished_run_waits_and_holds_up_nobody(world: World) -> None:
    slow = evaluate(world, {"2024-01-01": (False, ERROR)})
    run = world.instance.get_run_by_id(slow)
    assert run is not None
    world.instance._run_storage.delete_run(slow)
    world.instance.add_run(run._replace(status=dg.DagsterRunStatus.STARTED))
    evaluate(world, {"2024-01-02": (False, ERROR)})

    _, cursor = tick(world, None)
    told = alerts(world)
    world.instance.report_dagster_event(
        dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=run.job_name), run_id=slow
    )
    _, after = tick(world, cursor)

    assert told == [("failed_check", "eta/accepted holds 2024-01-02")]
    assert len(json.loads(cursor)["waiting"]) == 1
    assert ("failed_check", "eta/accepted holds 2024-01-01") in alerts(world)
    assert json.loads(after)["waiting"] == []


def test_what_passed_since_is_not_told_by_one_that_starts_to_look_late(world: World) -> None:
    evaluate(world, {"2024-01-01": (False, ERROR)})
    evaluate(world, {"2024-01-01": (True, ERROR)})

    tick(world, None)

    assert alerts(world) == []


@pytest.mark.parametrize("fails", [False, True])
def test_what_failed_since_is_not_closed_by_what_passed_before_it_however_late_one_looks(
    world: World, fails: bool
) -> None:
    evaluate(world, {"2024-01-01": (False, ERROR)})
    _, cursor = tick(world, None)
    evaluate(world, {"2024-01-01": (True, ERROR)})
    evaluate(world, {"2024-01-01": (False, ERROR)}, fails=fails)

    _, cursor = tick(world, cursor)
    tick(world, cursor)

    assert alerts(world) == [("failed_check", "eta/accepted holds 2024-01-01")]


def test_of_two_runs_the_later_finding_counts_and_not_that_of_the_run_that_was_planned_later(world: World) -> None:
    early, late = (
        world.instance.add_run(
            dg.DagsterRun(job_name="judging", run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED)
        )
        for _ in range(2)
    )
    for run in (early, late):
        planned = AssetCheckEvaluationPlanned(asset_key=dg.AssetKey(["eta", "accepted"]), check_name="holds")
        log(world, run, dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, planned)
    log(world, late, dg.DagsterEventType.ASSET_CHECK_EVALUATION, judged(passed=False))
    _, cursor = tick(world, None)
    log(world, early, dg.DagsterEventType.ASSET_CHECK_EVALUATION, judged(passed=True))
    _, cursor = tick(world, cursor)
    waiting = json.loads(cursor)["waiting"]

    log(world, late, dg.DagsterEventType.RUN_SUCCESS)
    tick(world, cursor)

    assert len(waiting) == 1
    assert alerts(world) == []


def judged(*, passed: bool) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(["eta", "accepted"]), check_name="holds", passed=passed, metadata={}
    )


def log(world: World, run: dg.DagsterRun, kind: dg.DagsterEventType, said: Any = None) -> None:
    event = dg.DagsterEvent(event_type_value=kind.value, job_name=run.job_name, event_specific_data=said)
    world.instance.report_dagster_event(event, run_id=run.run_id)


@pytest.mark.parametrize("cursor", [None, '{"after": 0, "waiting": []}'])
def test_starting_again_from_nothing_counts_no_alert_as_new(world: World, cursor: str | None) -> None:
    evaluate(world, {"2024-01-01": (False, ERROR)})
    tick(world, None)

    tick(world, cursor)

    assert alerts(world) == [("failed_check", "eta/accepted holds 2024-01-01")]
    assert len(world.operations.open_alerts("eta")) == 1


def test_a_gate_that_refuses_is_a_decision(world: World) -> None:
    evaluation = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(["eta", "dossier"]), check_name="parity", passed=False, metadata={}
    )
    world.instance.report_runless_asset_event(evaluation)

    tick(world, None)

    assert alerts(world) == []


def test_one_reported_without_a_run_is_told(world: World) -> None:
    evaluation = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(["eta", "features"]), check_name="is_up_to_date", passed=False, metadata={}, severity=WARN
    )
    world.instance.report_runless_asset_event(evaluation)

    tick(world, None)

    assert alerts(world) == [("check_warns", "eta/features is_up_to_date")]
