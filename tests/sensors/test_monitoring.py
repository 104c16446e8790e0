"""Monitoring: what is new after the champion's as-of is measured once."""

from typing import Any

import pytest

from perennial.stages import MONITORING
from perennial.stores.operations import Outcome
from sensors.automation import keys_of
from sensors.monitoring import build_monitoring
from tests.sensors.conftest import NOW, World

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

    again = served.tick(sensor, first.cursor)

    assert again.run_requests == []
    assert again.skip_message == "nothing new in 2 partitions after 2024-01-04"
    assert again.cursor == first.cursor


def test_a_tick_that_was_lost_asks_under_the_same_key(served: World) -> None:
    served.fill(*DAYS[4:6])
    sensor = build_monitoring(served.pipeline)

    (once,), (again,) = served.tick(sensor).run_requests, served.tick(sensor).run_requests

    assert once.run_key == again.run_key


def test_changed_rows_and_new_outcomes_are_measured_again(served: World) -> None:
    served.fill(*DAYS[4:8])
    sensor = build_monitoring(served.pipeline)
    seen = served.tick(sensor).cursor

    served.fill("2024-01-05", revision=2)
    served.operations.add_feedback("eta", [Outcome(prediction_id="1", partition="2024-01-07", label=3.0)], at=NOW)
    served.operations.add_feedback("eta", [Outcome(prediction_id="2", partition="2024-01-02", label=3.0)], at=NOW)

    tick = served.tick(sensor, seen)
    assert spans(tick) == [("2024-01-05", "2024-01-05"), ("2024-01-07", "2024-01-07")]
    assert served.tick(sensor, tick.cursor).run_requests == []


def test_new_answers_are_taken_in(served: World) -> None:
    served.fill(*DAYS[4:8])
    sensor = build_monitoring(served.pipeline)
    seen = served.tick(sensor).cursor
    folder = served.home.inference / "eta"
    folder.mkdir(parents=True)
    (folder / "20240107T000000.000000Z-00000000.jsonl").write_text('{"partition": "2024-01-07"}\n')

    tick = served.tick(sensor, seen)

    assert spans(tick) == [("2024-01-07", "2024-01-07")]
    assert served.tick(sensor, tick.cursor).run_requests == []


def test_a_new_champion_is_measured_on_the_days_after_its_own_as_of(served: World) -> None:
    served.fill(*DAYS[4:8])
    sensor = build_monitoring(served.pipeline)
    seen = served.tick(sensor).cursor
    served.train("2024-01-06")

    tick = served.tick(sensor, seen)

    assert spans(tick) == [("2024-01-07", "2024-01-08")]


def test_a_blocked_day_waits(served: World) -> None:
    served.fill(*DAYS[4:7], blocked=("2024-01-06",))

    tick = served.tick(build_monitoring(served.pipeline))

    assert spans(tick) == [("2024-01-05", "2024-01-05"), ("2024-01-07", "2024-01-07")]
