"""Weather: orders joined with the readings of a station, from the sensor to a model, through a correction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from perennial import Column, Files, Linear, Median, Schema, Timeline, Windows, col, env, hours
from perennial.stores.lake.windows import collect_training_set
from pipelines.delivery_eta import delivery_eta
from sensors.arrivals import build_arrivals
from tests.assets.house import House, open_house, simulate_days
from tests.clock import FixedClock
from world.city import City
from world.weather import draw_weather

pytestmark = pytest.mark.timeout(600)

DAYS = [f"2024-01-0{day}" for day in range(1, 7)]
FIRST, CORRECTED, NEXT, LAST = DAYS[0], DAYS[2], DAYS[3], DAYS[5]
NOON = datetime(2024, 1, 7, 12, tzinfo=UTC)
STATION = Timeline(
    name="station",
    source=Files("{root}/weather_{partition:%Y-%m-%d}.csv", env("STATION"), licence="CC0-1.0 (simulated)"),
    event_time=col("measured_at").str.to_datetime("%Y-%m-%d %H:%M"),
    known_after=hours(0),
    within=hours(3),
    columns={"celsius": "float64"},
)
OUTDOORS = Column("float64", source="station.celsius", unit="°C", nullable=True)
PIPELINE = replace(
    delivery_eta,
    timelines=[STATION],
    schema=Schema({**delivery_eta.schema.columns, "outdoors": OUTDOORS}),
    features=[*delivery_eta.features, col("outdoors")],
    aggregates=(),
    candidates=[Median(by="restaurant"), Linear()],
    windows=Windows(train=3, validation=1, test=2),
)
DATA = ("landed", "accepted", "quarantined", "features", "labels", "summary")


class Town:
    """The simulated city with a weather station, and the home of a pipeline that reads both."""

    def __init__(self, house: House, station: Path) -> None:
        self.house, self.station = house, station

    def file(self, day: str) -> Path:
        return self.station / f"weather_{day}.csv"

    def measure(self, *days: str, warmer: Mapping[int, float] | None = None) -> None:
        """Let the station write what it measured, some hours `warmer`."""
        for day in days:
            weather = draw_weather(date.fromisoformat(day), City().rng(date.fromisoformat(day), 0))
            told = [
                f"{day} {hour:02}:00,{t + (warmer or {}).get(hour, 0)}" for hour, t in enumerate(weather.temperature)
            ]
            self.file(day).write_text("\n".join(["measured_at,celsius", *told]) + "\n")

    def asked(self) -> list[str]:
        """The days for which the arrivals sensor asks now."""
        stores = {"sources": self.house.sources, "tables": self.house.tables, "clock": FixedClock(NOON)}
        with dg.build_sensor_context(
            instance=self.house.instance, resources=stores, definitions=self.house.definitions
        ) as context:
            answer = build_arrivals(PIPELINE).evaluate_tick(context)
        found: list[str] = []
        for tags in (request.tags for request in answer.run_requests or []):
            one = tags.get("dagster/partition")
            first, last = (tags.get(f"dagster/asset_partition_range_{end}", one) for end in ("start", "end"))
            found += PIPELINE.time.keys(str(first), str(last))
        return found

    def revisions(self, name: str) -> dict[str, int]:
        return {key: record.revision for key, record in self.house.tables.records(PIPELINE, name).items()}

    def accepted(self, day: str, revision: int) -> pl.DataFrame:
        return self.house.tables.read(PIPELINE, "accepted", {day: revision}).sort("order_id", "ordered_at")

    def learned(self) -> str:
        return collect_training_set(self.house.tables, PIPELINE, LAST).training_set.content_hash


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    station = folder / "station"
    station.mkdir()
    simulate_days(folder / "home", FIRST, LAST)
    with open_house(folder / "home", pipeline=PIPELINE, STATION=str(station)) as house:
        yield Town(house, station)


def test_a_second_source_lands_is_learned_from_and_corrected(town: Town) -> None:
    _wait_for_the_last_day(town)
    _learn(town)
    _correct(town)
    _clean_up(town)


def _wait_for_the_last_day(town: Town) -> None:
    town.measure(*DAYS[:-1])
    assert town.asked() == DAYS

    assert not town.house.run(*DATA, keys=(FIRST, LAST)).success

    record = town.house.tables.records(PIPELINE, "landed")[LAST]
    assert (record.status, record.provenance["readings"]) == ("blocked", {"station": ""})
    assert "delivery_eta timeline station 2024-01-06: the partition's file cannot be read" in str(record.reason)
    assert town.asked() == []
    town.measure(LAST)
    assert town.asked() == [LAST]
    assert town.house.run(*DATA, keys=LAST).success
    assert town.asked() == []


def _learn(town: Town) -> None:
    orders = town.house.tables.read(PIPELINE, "accepted", DAYS)
    known = orders.filter(pl.col("temperature_c").is_not_null())
    assert known["outdoors"].equals(known["temperature_c"].rename("outdoors")), "the city says the same of the hour"
    assert orders["outdoors"].null_count() == 0

    trained = town.house.run("training_set", "median", "linear", "selected", "bundle", keys=LAST)

    assert trained.success, trained.errors
    assert "outdoors" in collect_training_set(town.house.tables, PIPELINE, LAST).table.columns


def _correct(town: Town) -> None:
    before = town.learned()
    town.measure(CORRECTED, warmer={13: 2.5})  # when no row of another day says that it was ordered
    assert town.asked() == [CORRECTED, NEXT], "the first orders of the next day might have seen it, too"

    assert town.house.run(*DATA, keys=(CORRECTED, NEXT)).success

    for name in DATA:
        assert town.revisions(name) == dict.fromkeys(DAYS, 1) | {CORRECTED: 2}, name
    old, new = (town.accepted(CORRECTED, revision) for revision in (1, 2))
    changed = new["outdoors"] != old["outdoors"]
    assert new.filter(changed)["ordered_at"].dt.hour().unique().to_list() == [13]
    assert (new.filter(changed)["known_at"] > old["known_at"].max()).all()
    assert new.filter(~changed)["known_at"].equals(old.filter(~changed)["known_at"])
    assert town.learned() == before, "what was known then is what it was"
    assert town.asked() == []


def _clean_up(town: Town) -> None:
    origins = town.house.tables.records(PIPELINE, "landed")[NEXT].provenance["beside"]["station"]
    assert [origin["uri"] for origin in origins] == [town.file(day).as_uri() for day in (CORRECTED, NEXT)]
    (shown,) = town.house.instance.fetch_materializations(town.house.key("landed"), limit=1).records
    assert shown.asset_materialization is not None
    told = str(shown.asset_materialization.metadata["joined with"].value)
    assert "CC0-1.0 (simulated)" in told
    assert "weather_2024-01-04.csv" in told
    for day in DAYS:
        town.file(day).unlink()

    assert town.asked() == [], "what landed stands"
    assert not town.house.run("landed", keys=(FIRST, FIRST)).success
    assert town.house.tables.records(PIPELINE, "landed")[FIRST].status == "ok"


def test_a_timeline_that_is_declared_later_fills_what_landed_before(tmp_path: Path) -> None:
    simulate_days(tmp_path / "home", FIRST, FIRST)
    alone = replace(PIPELINE, timelines=(), schema=delivery_eta.schema, features=delivery_eta.features)
    with open_house(tmp_path / "home", pipeline=alone, STATION=str(tmp_path)) as house:
        assert house.run("landed", "accepted", "quarantined", keys=FIRST).success
        town = Town(replace(house, pipeline=PIPELINE), tmp_path)
        town.measure(FIRST)
        assert town.asked() == [], "a changed declaration is told by the check, not by the sensor"

        assert town.house.run("landed", "accepted", "quarantined", keys=FIRST).success

        assert town.accepted(FIRST, 1)["outdoors"].null_count() == 0
        town.measure(FIRST, warmer={18: 2.5})
        assert town.asked() == [FIRST]
