"""Zones: real taxi months joined with the real zones, as they were known at each trip."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from perennial import Windows
from perennial.content import content_hash
from perennial.stores.lake.windows import collect_training_set
from pipelines.taxi_eta import taxi_eta
from tests.assets.house import House, open_house
from tests.clock import FixedClock

pytestmark = [pytest.mark.real_data, pytest.mark.timeout(600)]

JANUARY, FEBRUARY, MARCH = "2023-01", "2023-02", "2023-03"
MIDDLE = datetime(2023, 2, 15, 12, tzinfo=UTC)
APRIL = datetime(2023, 4, 5, 12, tzinfo=UTC)
SHORT = replace(taxi_eta, windows=Windows(train=1))
TABLES = ("landed", "accepted", "partials", "aggregates", "features", "labels")
MADE = (*TABLES, "quarantined", "summary")
EAST_HARLEM = 74


def at(house: House, instant: datetime) -> House:
    return replace(house, clock=FixedClock(instant))


def rename_harlem(house: House, borough: str) -> None:
    """Let the file say that East Harlem lies in `borough`."""
    file = zones(house)
    lines = [
        f'{EAST_HARLEM},"{borough}","East Harlem North","Boro Zone"' if line.startswith(f"{EAST_HARLEM},") else line
        for line in file.read_text().splitlines()
    ]
    file.write_text("\n".join(lines) + "\n")


def zones(house: House) -> Path:
    assert house.environment is not None
    return Path(house.environment["TAXI_ZONES_SOURCE"]) / "taxi_zone_lookup.csv"


def landed(house: House, month: str) -> pl.DataFrame:
    return house.tables.read(house.pipeline, "landed", [month])


def check(house: House, run_id: str) -> str:
    (evaluation,) = house.evaluations("landed", "schema_is_known", run_id).values()
    return str(evaluation.description)


@pytest.fixture
def house(taxi_sources: dict[str, str], real_data: Path, tmp_path: Path) -> Iterator[House]:
    """A home before its first month, with a zone file of its own."""
    folder = tmp_path / "zones"
    shutil.copytree(real_data / "taxi_zones", folder)
    places = taxi_sources | {"TAXI_ZONES_SOURCE": str(folder)}
    with open_house(tmp_path / "home", pipeline=SHORT, clock=None, **places) as opened:
        yield at(opened, datetime(2023, 2, 1, 12, tzinfo=UTC))


def test_each_trip_has_the_borough_of_its_pickup_and_the_unknown_zones_have_none(house: House) -> None:
    assert house.run("landed", keys=JANUARY).success

    trips = landed(house, JANUARY)
    boroughs = dict(trips.group_by("pickup_zone").agg(pl.col("pickup_borough").first()).iter_rows())
    assert (boroughs[EAST_HARLEM], boroughs[7], boroughs[264], boroughs[265]) == ("Manhattan", "Queens", None, None)
    assert set(trips.filter(pl.col("pickup_borough").is_null())["pickup_zone"].unique()) == {264, 265}
    provenance = house.tables.records(SHORT, "landed")[JANUARY].provenance
    assert set(provenance["beside"]) == {"zones"}


def test_a_changed_zone_file_is_known_from_then_on_and_leaves_what_was_learned_from_as_it_was(house: House) -> None:
    assert house.run(*MADE, keys=JANUARY).success
    rename_harlem(house, "Harlem")
    assert at(house, MIDDLE).run("landed", keys=JANUARY).success
    assert at(house, APRIL).run(*MADE, keys=(FEBRUARY, MARCH)).success

    harlem = landed(house, FEBRUARY).filter(pl.col("pickup_zone") == EAST_HARLEM)
    before, after = harlem.filter(pl.col("event_time") < MIDDLE), harlem.filter(pl.col("event_time") >= MIDDLE)
    assert set(before["pickup_borough"]) == {"Manhattan"}
    assert set(after["pickup_borough"]) == {"Harlem"}
    assert set(landed(house, JANUARY)["pickup_borough"].unique()) >= {"Manhattan"}
    assert "Harlem" not in landed(house, JANUARY)["pickup_borough"].to_list()

    hashes = house.hashes(TABLES)
    learned = content_hash(collect_training_set(house.tables, SHORT, MARCH).table)
    rename_harlem(house, "Corrected")
    assert at(house, APRIL + timedelta(days=9)).run(*MADE, keys=(JANUARY, MARCH)).success

    assert house.hashes(TABLES) == hashes
    assert content_hash(collect_training_set(house.tables, SHORT, MARCH).table) == learned


def test_months_without_a_zone_file_wait_for_it_and_lose_nothing(house: House) -> None:
    file = zones(house)
    moved = file.rename(file.with_suffix(".away"))

    blocked = house.run("landed", keys=JANUARY)

    assert not blocked.success
    record = house.tables.records(SHORT, "landed")[JANUARY]
    assert (record.status, record.rows) == ("blocked", 0)
    assert record.reason is not None
    for words in ("taxi_eta 2023-01: the lookup 'zones' has no version", "taxi_zone_lookup.csv"):
        assert words in record.reason
    assert record.reason.count("taxi_eta") == 1
    assert record.provenance["awaits"] == {"zones": ""}
    assert record.provenance["signature"] == house.sources.signatures(SHORT, [JANUARY])[JANUARY], (
        "its own file is known"
    )

    moved.rename(file)
    assert house.run("landed", keys=JANUARY).success
    assert landed(house, JANUARY).height == 68_211


def test_a_zone_file_that_is_away_later_leaves_the_known_version_standing_and_says_so(house: House) -> None:
    assert house.run("landed", keys=JANUARY).success
    zones(house).unlink()

    result = at(house, APRIL).run("landed", keys=FEBRUARY)

    assert result.success
    assert landed(house, FEBRUARY)["pickup_borough"].null_count() < 1_000
    provenance = house.tables.records(SHORT, "landed")[FEBRUARY].provenance
    (note,) = provenance["notes"]
    assert note.startswith("lookup zones: its last version stands, for taxi_eta lookup zones:")
    assert note in check(house, result.run_id)
