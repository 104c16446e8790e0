"""Pushed events, from the request to the features: by the hour, through a kill -9, with late corrections."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from perennial.settings import Home
from perennial.stores.production.pushed import publish
from sensors.arrivals import build_arrivals
from tests.assets.house import House, open_house
from tests.clock import FixedClock
from tests.pushes import an_event, pushed_pipeline
from tests.serving.conftest import Running, running

PIPELINE = pushed_pipeline()
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
ROWS = ("landed", "accepted", "quarantined", "features", "labels")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path / "home", pipeline=PIPELINE) as house:
        yield house


def push(server: Running, *events: dict[str, Any], key: str) -> None:
    answer = server.client.post(
        "/v1/sources/rides/events", json={"events": list(events)}, headers={"idempotency-key": key}
    )
    assert answer.status_code == 202, answer.text


def asked(house: House) -> list[tuple[str, str]]:
    """The ranges of partitions for which the arrivals sensor asks now, at noon."""
    sensor = build_arrivals(house.pipeline)
    stores = {"sources": house.sources, "tables": house.tables, "clock": FixedClock(NOON)}
    with dg.build_sensor_context(instance=house.instance, resources=stores, definitions=house.definitions) as context:
        answer = sensor.evaluate_tick(context)
    tags = [request.tags for request in answer.run_requests or []]
    first, last = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    return [(t.get(first, t.get("dagster/partition", "")), t.get(last, t.get("dagster/partition", ""))) for t in tags]


def land(house: House) -> list[tuple[str, str]]:
    """Do what the sensor asks for, as the daemon would."""
    ranges = asked(house)
    for span in ranges:
        result = house.run(*ROWS, keys=span)
        assert result.success, result.errors
    return ranges


def read(house: House, name: str, hour: str) -> dict[str, Any]:
    rows = house.tables.read(house.pipeline, name, [hour])
    return dict(rows.select("ride", "riders").rows())


def test_events_pushed_through_a_kill_become_features_and_late_ones_a_revision(house: House, home: Home) -> None:
    assert asked(house) == []
    events = [an_event(number) for number in range(300)]
    with running(house.home) as server:
        push(server, *events[:150], key="first")
        push(server, *events[150:200], key="second")
        os.kill(server.process.pid, signal.SIGKILL)
    with running(house.home) as server:
        push(server, *events[150:200], key="second")
        push(server, *events[200:], an_event(7, distance=500.0), an_event(1_500), key="third")

        assert land(house) == [("2024-01-01T00", "2024-01-01T02")]
        assert asked(house) == []

        for name in ("landed", "accepted", "features"):
            found = [house.tables.read(house.pipeline, name, [f"2024-01-01T0{hour}"]) for hour in range(3)]
            rides = [ride for rows in found for ride in rows["ride"]]
            expected = {f"ride-{number}" for number in range(300)} - ({"ride-7"} if name != "landed" else set())
            assert (set(rides), len(rides)) == (expected, len(expected)), name
        assert read(house, "quarantined", "2024-01-01T00") == {"ride-7": 1}

        push(server, an_event(3, riders=2), an_event(99, rideId="forgotten"), key="late")
        assert land(house) == [("2024-01-01T00", "2024-01-01T00")]

    records = house.tables.records(house.pipeline, "landed")
    assert {key: record.revision for key, record in records.items()} == {
        "2024-01-01T00": 2,
        "2024-01-01T01": 1,
        "2024-01-01T02": 1,
    }
    assert read(house, "landed", "2024-01-01T00")["ride-3"] == 2
    assert "forgotten" in read(house, "landed", "2024-01-01T00")
    first = house.tables.read(house.pipeline, "landed", {"2024-01-01T00": 1})
    assert dict(first.select("ride", "riders").rows())["ride-3"] == 1


def test_a_request_sent_again_asks_for_a_look_and_changes_nothing(house: House) -> None:
    publish(house.home.pushed, PIPELINE)
    with running(house.home) as server:
        push(server, an_event(0), an_event(1), key="once")
        land(house)
        before = house.hashes(ROWS)
    with running(house.home) as server:
        push(server, an_event(0), an_event(1), key="once")

    land(house)

    assert house.hashes(ROWS) == before
    assert {r.revision for r in house.tables.records(house.pipeline, "landed").values()} == {1}
    assert asked(house) == []
