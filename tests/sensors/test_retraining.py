"""Retraining: one request when the evidence asks for it, one reason in the ledger when it does not."""

from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg
import pytest

from perennial.graph.records import PartitionRecord
from perennial.graph.stages import training_assets
from perennial.time import hours
from resources.tags import REASON
from sensors.automation import keys_of
from sensors.retraining import build_retraining, build_schedule
from tests.clock import FixedClock
from tests.sensors.conftest import NOW, World

DAYS = [f"2024-01-{day:02d}" for day in range(1, 13)]


@pytest.fixture
def sensor(world: World) -> dg.SensorDefinition:
    return build_retraining(world.pipeline)


def decisions(world: World, kind: str) -> list[tuple[str, str]]:
    return [(entry.subject, entry.reason) for entry in world.operations.ledger("eta", kind=kind)]


def measure(world: World, drifted: dict[str, bool | None], version: int = 1) -> None:
    records = [
        PartitionRecord(
            partition=key, revision=1, content_hash=key, rows=1, provenance={"drifted": verdict, "version": version}
        )
        for key, verdict in drifted.items()
    ]
    world.operations.record_partitions("eta", "drift", records, at=NOW)


def test_no_data_is_no_reason_to_train(world: World, sensor: dg.SensorDefinition) -> None:
    tick = world.tick(sensor)

    assert tick.run_requests == []
    assert "0 partitions are complete" in tick.skip_message
    assert decisions(world, "not_now") == [("no as-of", tick.skip_message)]


def test_the_first_labels_train_the_first_version(world: World, sensor: dg.SensorDefinition) -> None:
    world.fill(*DAYS[:4])

    (request,) = world.tick(sensor).run_requests

    assert request.partition_key == "2024-01-04"
    assert request.asset_selection == keys_of(world.pipeline, training_assets(world.pipeline))
    assert request.tags[REASON] == "new labels: 400 known, and nothing serves yet"
    assert decisions(world, "retraining") == [("2024-01-04", request.tags[REASON])]


def test_the_same_evidence_gives_the_same_run_key_and_one_row_in_the_ledger(
    world: World, sensor: dg.SensorDefinition
) -> None:
    world.fill(*DAYS[:4])

    (once,), (again,) = world.tick(sensor).run_requests, world.tick(sensor).run_requests

    assert once.run_key == again.run_key
    assert len(decisions(world, "retraining")) == 1


def test_too_few_new_labels_are_told_with_their_number(world: World, sensor: dg.SensorDefinition) -> None:
    world.fill(*DAYS[:4])
    world.train("2024-01-04")
    world.fill(DAYS[4])

    tick = world.tick(sensor)
    world.tick(sensor)

    assert "100 since version 1, needs 200" in tick.skip_message
    assert decisions(world, "not_now") == [("2024-01-05", tick.skip_message)]


def test_enough_new_labels_train_the_newest_as_of(world: World, sensor: dg.SensorDefinition) -> None:
    world.fill(*DAYS[:4])
    world.train("2024-01-04")
    world.fill(*DAYS[4:6])

    (request,) = world.tick(sensor).run_requests

    assert request.partition_key == "2024-01-06"
    assert "200 since version 1, needs 200" in request.tags[REASON]


def test_drift_trains_and_the_run_carries_the_reason(world: World, sensor: dg.SensorDefinition) -> None:
    world.pipeline = replace(world.pipeline, retraining=replace(world.pipeline.retraining, new_labels=None))
    world.fill(*DAYS[:4])
    world.train("2024-01-04")
    world.fill(*DAYS[4:8])
    measure(world, {"2024-01-05": None, "2024-01-06": True, "2024-01-07": False, "2024-01-08": True})

    (request,) = world.tick(build_retraining(world.pipeline)).run_requests

    assert request.partition_key == "2024-01-08"
    assert "2024-01-06, 2024-01-08" in request.tags[REASON]
    assert request.tags["perennial/triggers"] == "drift"


def test_drift_of_the_day_after_the_as_of_counts(world: World) -> None:
    world.pipeline = replace(
        world.pipeline,
        time=replace(world.pipeline.time, known_after=hours(2)),
        retraining=replace(world.pipeline.retraining, new_labels=None),
    )
    world.fill(*DAYS[:4])
    world.train("2024-01-04")
    world.fill(*DAYS[4:8])
    measure(world, {"2024-01-04": True, "2024-01-05": True, "2024-01-06": True})

    (request,) = world.tick(build_retraining(world.pipeline)).run_requests

    assert "(2024-01-05, 2024-01-06)" in request.tags[REASON]


def test_drift_of_days_behind_the_as_of_counts_where_its_window_ended_before_them(world: World) -> None:
    world.pipeline = replace(world.pipeline, retraining=replace(world.pipeline.retraining, new_labels=None))
    world.fill(*DAYS[:8])
    world.train("2024-01-08", until="2024-01-05")
    world.fill("2024-01-09", "2024-01-10")
    measure(world, {"2024-01-05": True, "2024-01-06": True, "2024-01-07": True})

    (request,) = world.tick(build_retraining(world.pipeline)).run_requests

    assert "drift: 2 of the last 2 partitions after 2024-01-05 (2024-01-06, 2024-01-07)" in request.tags[REASON]


def test_drift_against_another_version_does_not_count(world: World, sensor: dg.SensorDefinition) -> None:
    world.pipeline = replace(world.pipeline, retraining=replace(world.pipeline.retraining, new_labels=None))
    world.fill(*DAYS[:4])
    world.train("2024-01-04")
    world.fill(*DAYS[4:8])
    measure(world, {"2024-01-06": True, "2024-01-07": True}, version=7)

    tick = world.tick(build_retraining(world.pipeline))

    assert "drift: 0 of the last 0 partitions" in tick.skip_message


def test_a_refused_as_of_is_not_trained_again_on_the_same_data(world: World, sensor: dg.SensorDefinition) -> None:
    world.fill(*DAYS[:4])
    world.train("2024-01-04", passed=False)

    tick = world.tick(sensor)

    assert "2024-01-04 was trained on the same evidence" in tick.skip_message


def test_a_blocked_day_is_passed_over_for_the_newest_as_of_with_all_data(
    world: World, sensor: dg.SensorDefinition
) -> None:
    world.fill(*DAYS[:6], blocked=("2024-01-06",))

    (request,) = world.tick(sensor).run_requests

    assert request.partition_key == "2024-01-05"


def test_a_window_without_data_names_what_is_missing(world: World, sensor: dg.SensorDefinition) -> None:
    world.fill(*DAYS[:2], *DAYS[3:5])

    tick = world.tick(sensor)

    assert "window: 1 partitions missing or blocked (2024-01-03)" in tick.skip_message


@pytest.mark.parametrize("asset", ["training_set", "landed"])
def test_the_question_waits_while_a_training_or_its_data_is_under_way(
    world: World, sensor: dg.SensorDefinition, asset: str
) -> None:
    world.fill(*DAYS[:4])
    key = dg.AssetKey(["eta", asset])

    @dg.asset(key=key)
    def busy() -> None: ...

    job = dg.Definitions(assets=[busy]).resolve_implicit_global_asset_job_def()
    run = world.instance.create_run_for_job(job, asset_selection={key}, status=dg.DagsterRunStatus.STARTED)

    tick = world.tick(sensor)

    assert run.run_id[:8] in tick.skip_message
    assert decisions(world, "retraining") == []


def test_a_training_that_failed_is_not_started_again_and_says_so(world: World, sensor: dg.SensorDefinition) -> None:
    world.fill(*DAYS[:4])
    (request,) = world.tick(sensor).run_requests

    @dg.job
    def anything() -> None: ...

    world.instance.create_run_for_job(
        anything, tags={"dagster/run_key": str(request.run_key)}, status=dg.DagsterRunStatus.FAILURE
    )

    tick = world.tick(sensor)

    assert "ended as failure: run it again by hand" in tick.skip_message


def test_the_schedule_trains_the_newest_month_that_has_data(world: World) -> None:
    world.fill(*DAYS[:4])
    schedule = build_schedule(world.pipeline)
    assert schedule is not None

    (request,) = world.schedule_tick(schedule, datetime(2024, 1, 31, 4, tzinfo=UTC)).run_requests

    assert request.partition_key == "2024-01-04"
    assert "schedule: '0 4 * * *' came round" in request.tags[REASON]
    assert schedule.execution_timezone == "Europe/Berlin"


def test_a_day_that_is_not_complete_yet_is_no_as_of(world: World, sensor: dg.SensorDefinition) -> None:
    world.fill(*DAYS[:5])
    world.stores["clock"] = FixedClock(datetime(2024, 1, 5, 12, tzinfo=UTC))

    (request,) = world.tick(sensor).run_requests

    assert request.partition_key == "2024-01-04"
