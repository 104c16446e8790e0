"""Answered: what one pipeline's server was asked becomes the rows of another, with outcomes that come later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from perennial.stores.models.bundles import BundleStore
from sensors.arrivals import build_arrivals
from tests.answers import reading_pipeline
from tests.assets.house import House, open_house
from tests.bundles import an_instance, answer_by_hand, small_pipeline
from tests.clock import FixedClock
from tests.serving.conftest import City, Running, running

LOGGED, READING = small_pipeline("rides"), reading_pipeline()
ROWS = ("landed", "accepted", "quarantined", "features", "labels")
EVENTS = ("2024-03-01", "2024-03-02")
"""Monitoring partitions of what is asked."""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Return a home in which version 1 of `rides` is released, seen as the pipeline that reads its log."""
    with open_house(tmp_path / "home", pipeline=READING) as house:
        operations = house.tables.operations
        City(home=house.home, operations=operations, bundles=BundleStore(house.home.bundles)).release(2.0)
        yield house


def ask(server: Running, *numbers: int) -> list[str]:
    """The ids of the answers for these instances."""
    request = {"instances": [an_instance(number) for number in numbers]}
    answer = server.client.post("/v1/models/rides:predict", json=request)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["ids"])


def report(server: Running, outcomes: dict[str, float]) -> None:
    said = {"outcomes": [{"id": name, "label": label, "source": "rider"} for name, label in outcomes.items()]}
    answer = server.client.post("/v1/models/rides:feedback", json=said)
    assert answer.status_code == 200, answer.text


def take_in(house: House) -> None:
    """Take the server's log into the lake, by the asset of the pipeline that answers."""
    assert replace(house, pipeline=LOGGED).run("inference_log", keys=EVENTS).success


def asked_on(house: House) -> str:
    """The day on which it was asked."""
    log = house.tables.lakehouse.scan(LOGGED.table("inference_log")).select(pl.col("at").min()).collect()
    return READING.time.key_of(log.item())


def look(house: House, day: str) -> list[str]:
    """The partitions for which the arrivals sensor asks when `day` is over."""
    over = READING.time.known_at(day) + timedelta(minutes=1)
    stores = {"sources": house.sources, "tables": house.tables, "clock": FixedClock(over)}
    context = dg.build_sensor_context(instance=house.instance, resources=stores, definitions=house.definitions)
    with context, partition_loading_context(effective_dt=over):
        answer = build_arrivals(READING).evaluate_tick(context)
    return [request.tags["dagster/partition"] for request in answer.run_requests or []]


def land(house: House, day: str) -> None:
    """Do what the sensor asks for, when `day` is over."""
    assert look(house, day) == [day]
    with partition_loading_context(effective_dt=READING.time.known_at(day)):
        result = house.run(*ROWS, keys=day)
    assert result.success, result.errors
    assert look(house, day) == []


def test_what_a_server_was_asked_lands_with_its_outcomes_and_what_comes_later_is_a_revision(house: House) -> None:
    with running(house.home) as server:
        ids = ask(server, *range(30))
        take_in(house)
        day = asked_on(house)
        report(server, {ids[0]: 7.0, ids[1]: 8.0})

        land(house, day)

        first = house.tables.read(READING, "landed", [day])
        record = house.tables.records(READING, "landed")[day]
        assert (record.revision, record.rows) == (1, 30)
        assert record.provenance["uri"].endswith("lake/rides/inference_log")
        assert record.provenance["licence"] == "ours"
        told = {row["prediction_id"]: row for row in first.to_dicts()}
        assert [told[name]["distance"] for name in ids] == [an_instance(n)["distance"] for n in range(30)]
        assert [told[name]["predicted"] for name in ids] == pytest.approx(
            [answer_by_hand(2.0, an_instance(n)) for n in range(30)]
        )
        assert {row["model_version"] for row in told.values()} == {1}
        assert {name: row["outcome"] for name, row in told.items() if row["outcome"]} == {ids[0]: 7.0, ids[1]: 8.0}
        assert house.tables.read(READING, "labels", [day])["label"].drop_nulls().len() == 2
        assert house.tables.read(READING, "features", [day]).height == 30

        before = house.hashes(ROWS)
        take_in(house)
        with partition_loading_context(effective_dt=READING.time.known_at(day)):
            assert house.run(*ROWS, keys=day).success
        assert house.hashes(ROWS) == before
        assert house.tables.records(READING, "landed")[day].revision == 1

        report(server, {ids[2]: 9.0})
        late = ask(server, 30, 31)
        assert look(house, day) == [day]
        take_in(house)
        land(house, day)

    assert house.tables.records(READING, "landed")[day].revision == 2
    newest = house.tables.read(READING, "landed", [day])
    assert set(newest["prediction_id"]) == {*ids, *late}
    assert newest.filter(prediction_id=ids[2])["outcome"].item() == 9.0
    assert house.tables.read(READING, "landed", {day: 1}).equals(first)
