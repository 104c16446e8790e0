"""Monitoring: what is new is measured once, drift after the as-of only, and what failed is asked for again."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from perennial.graph.records import PartitionRecord
from perennial.graph.stages import ANSWERED, MONITORING
from perennial.stores.operations import Outcome
from perennial.time import hours
from sensors.automation import keys_of
from sensors.monitoring import build_monitoring
from tests.clock import FixedClock
from tests.sensors.conftest import NOW, World, end_runs

DAYS = [f"2024-01-{day:02d}" for day in range(1, 13)]


@pytest.fixture
def served(world: World) -> World:
    """A world in which a version as of 2024-01-04 serves."""
    world.fill(*DAYS[:4])
    world.train("2024-01-04")
    return world


def spans(tick: Any) -> list[tuple[str, str]]:
    found = []
    for request in tick.run_requests:
        tags = request.tags
        one = tags.get("dagster/partition")
        first, last = (tags.get(f"dagster/asset_partition_range_{end}", one) for end in ("start", "end"))
        found.append((first, last))
    return found


def done(world: World, tick: Any) -> str:
    """Let every run that `tick` asked for end well; the cursor to go on with."""
    end_runs(world, tick)
    return str(tick.cursor)


def test_nothing_is_measured_before_the_first_release(world: World) -> None:
    world.fill(*DAYS)

    tick = world.tick(build_monitoring(world.pipeline))

    assert tick.run_requests == []
    assert "nothing serves yet" in tick.skip_message


def test_days_after_the_as_of_are_measured_and_those_before_never(served: World) -> None:
    served.fill(*DAYS[4:6])

    tick = served.tick(build_monitoring(served.pipeline))

    assert spans(tick) == [("2024-01-05", "2024-01-06")]
    (request,) = tick.run_requests
    assert request.asset_selection == keys_of(served.pipeline, MONITORING)


def test_a_second_tick_on_the_same_state_starts_nothing(served: World) -> None:
    served.fill(*DAYS[4:6])
    sensor = build_monitoring(served.pipeline)
    first = served.tick(sensor)
    end_runs(served, first)

    again = served.tick(sensor, first.cursor)

    assert again.run_requests == []
    assert again.skip_message == "nothing new in 2 partitions after the champion's as-of"
    assert served.tick(sensor, again.cursor).cursor == again.cursor


def test_a_tick_that_was_lost_asks_under_the_same_key(served: World) -> None:
    served.fill(*DAYS[4:6])
    sensor = build_monitoring(served.pipeline)

    (once,), (again,) = served.tick(sensor).run_requests, served.tick(sensor).run_requests

    assert once.run_key == again.run_key


def test_changed_rows_and_new_outcomes_are_measured_again(served: World) -> None:
    served.fill(*DAYS[4:8])
    sensor = build_monitoring(served.pipeline)
    seen = done(served, served.tick(sensor))

    served.fill("2024-01-05", revision=2)
    served.operations.add_feedback("eta", [Outcome(prediction_id="1", partition="2024-01-07", label=3.0)], at=NOW)

    tick = served.tick(sensor, seen)
    assert spans(tick) == [("2024-01-05", "2024-01-05"), ("2024-01-07", "2024-01-07")]
    assert served.tick(sensor, done(served, tick)).run_requests == []


def test_an_outcome_that_comes_after_the_next_release_reaches_the_performance_of_its_day(served: World) -> None:
    sensor = build_monitoring(served.pipeline)
    seen = done(served, served.tick(sensor))
    served.operations.add_feedback("eta", [Outcome(prediction_id="2", partition="2024-01-02", label=3.0)], at=NOW)

    tick = served.tick(sensor, seen)

    assert spans(tick) == [("2024-01-02", "2024-01-02")]
    assert tick.run_requests[0].asset_selection == keys_of(served.pipeline, ANSWERED)
    assert served.tick(sensor, done(served, tick)).run_requests == []


def test_labels_that_change_behind_the_champion_meet_the_answers_of_their_day(served: World) -> None:
    truth = PartitionRecord(partition="2024-01-02", revision=1, content_hash="1", rows=3)
    served.operations.record_partitions("eta", "ground_truth", [truth], at=NOW)
    sensor = build_monitoring(served.pipeline)
    seen = done(served, served.tick(sensor))
    served.fill("2024-01-02", "2024-01-03", revision=2)

    tick = served.tick(sensor, seen)

    assert spans(tick) == [("2024-01-02", "2024-01-02")]


def test_answers_of_a_day_that_is_not_over_wait_for_its_end(served: World) -> None:
    served.operations.add_feedback("eta", [Outcome(prediction_id="1", partition="2024-01-31", label=3.0)], at=NOW)
    served.operations.add_feedback("eta", [Outcome(prediction_id="2", partition="2023-12-31", label=3.0)], at=NOW)
    sensor = build_monitoring(served.pipeline)

    early = served.tick(sensor)
    served.stores["clock"] = FixedClock(NOW + timedelta(days=1))

    assert early.run_requests == []
    assert spans(served.tick(sensor, early.cursor)) == [("2024-01-31", "2024-01-31")]


def test_the_day_after_the_as_of_counts_though_it_begins_before_the_as_of_was_known(world: World) -> None:
    world.pipeline = replace(world.pipeline, time=replace(world.pipeline.time, known_after=hours(2)))
    world.fill(*DAYS[:5])
    world.train("2024-01-04")

    assert spans(world.tick(build_monitoring(world.pipeline))) == [("2024-01-05", "2024-01-05")]


def test_days_behind_the_as_of_that_the_window_does_not_hold_are_measured(world: World) -> None:
    world.fill(*DAYS[:8])
    world.train("2024-01-08", until="2024-01-05")

    assert spans(world.tick(build_monitoring(world.pipeline))) == [("2024-01-06", "2024-01-08")]


def test_a_measuring_run_that_fails_is_asked_for_again_three_times_in_all(served: World) -> None:
    served.fill(*DAYS[4:6])
    sensor = build_monitoring(served.pipeline)
    tick = served.tick(sensor)
    keys = set()
    for _ in range(3):
        (request,) = tick.run_requests
        keys.add(request.run_key)
        end_runs(served, tick, status=dg.DagsterRunStatus.FAILURE)
        tick = served.tick(sensor, tick.cursor)

    assert len(keys) == 3
    assert tick.run_requests == []
    assert "2024-01-05 to 2024-01-06: run" in tick.skip_message
    assert "is failure" in tick.skip_message


def test_a_day_whose_runs_all_failed_is_measured_once_it_changes(served: World) -> None:
    served.fill(*DAYS[4:6])
    sensor = build_monitoring(served.pipeline)
    tick = served.tick(sensor)
    for _ in range(3):
        end_runs(served, tick, status=dg.DagsterRunStatus.FAILURE)
        tick = served.tick(sensor, tick.cursor)
    served.fill(*DAYS[4:6], revision=2)

    tick = served.tick(sensor, tick.cursor)

    assert spans(tick) == [("2024-01-05", "2024-01-06")]
    assert "failure" not in served.tick(sensor, done(served, tick)).skip_message


def test_new_answers_are_taken_in(served: World) -> None:
    served.fill(*DAYS[4:8])
    sensor = build_monitoring(served.pipeline)
    seen = done(served, served.tick(sensor))
    folder = served.home.inference / "eta"
    folder.mkdir(parents=True)
    (folder / "20240107T000000.000000Z-00000000.jsonl").write_text('{"partition": "2024-01-07"}\n')

    tick = served.tick(sensor, seen)

    assert spans(tick) == [("2024-01-07", "2024-01-07")]
    assert served.tick(sensor, done(served, tick)).run_requests == []


def test_a_new_champion_is_measured_on_the_days_after_its_own_as_of(served: World) -> None:
    served.fill(*DAYS[4:8])
    sensor = build_monitoring(served.pipeline)
    seen = done(served, served.tick(sensor))
    served.train("2024-01-06")

    tick = served.tick(sensor, seen)

    assert spans(tick) == [("2024-01-07", "2024-01-08")]


def test_a_blocked_day_waits(served: World) -> None:
    served.fill(*DAYS[4:7], blocked=("2024-01-06",))

    tick = served.tick(build_monitoring(served.pipeline))

    assert spans(tick) == [("2024-01-05", "2024-01-05"), ("2024-01-07", "2024-01-07")]
