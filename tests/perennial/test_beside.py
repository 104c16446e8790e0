"""Beside: a lookup or timeline that cannot be meant fails when it is loaded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from perennial import Column, Files, Lookup, Pushed, Rules, Schema, Sql, col, hours
from perennial.errors import DeclarationError
from tests.weather import PIPELINE, WEATHER

ZONES = Lookup(name="zones", source=Files("/zones.csv"), key="id", on="zone", columns={"borough": "string"})
COLUMNS = PIPELINE.schema.columns


def columns(**more: Column) -> dict[str, Any]:
    return {"schema": Schema({**COLUMNS, **more})}


def timeline(**changes: Any) -> dict[str, Any]:
    return {"timelines": [replace(WEATHER, **changes)]}


WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a name that is none": (timeline(name="Weather"), ["timelines[Weather]", "lower-case letters"]),
    "one name twice": (
        {"lookups": [replace(ZONES, name="weather", columns={"celsius": "float64"})]},
        ["lookups and timelines", "['weather', 'weather']", "names of their own"],
    ),
    "a key that is not declared": (timeline(on={"place": "station"}), ["timelines[weather].on", "'place'", "declared"]),
    "no age": (timeline(within=timedelta(0)), ["timelines[weather].within", "above 0"]),
    "known twice": (timeline(known_after=hours(1)), ["timelines[weather].known_at", "either known_at or known_after"]),
    "never known": (timeline(known_at=None), ["timelines[weather].known_at", "None", "either"]),
    "known before": (timeline(known_at=None, known_after=hours(-1)), ["timelines[weather].known_after", "0 or more"]),
    "no column": (timeline(columns={}), ["timelines[weather].columns", "at least one"]),
    "a kind that is none": (timeline(columns={"celsius": "float"}), ["columns[celsius]", "'float'", "float64"]),
    "a time": (timeline(columns={"celsius": "datetime"}), ["columns[celsius]", "'datetime'", "one of string"]),
    "a key as a column": (timeline(columns={"celsius": "float64", "station": "string"}), ["['station']", "not found"]),
    "a timezone that is none": (timeline(timezone="Europe/Bonn"), ["timelines[weather].timezone", "Europe/Berlin"]),
    "events that are pushed": (timeline(source=Pushed()), ["timelines[weather].source", "'Pushed'", "Files or Sql"]),
    "a time over rows": (timeline(event_time=col("measured_at").max()), ["timelines[weather].event_time", "one row"]),
    "a column that is not taken": (
        columns(wind=Column("float64", source="weather.wind")),
        ["schema[wind].source", "'weather.wind'", "a column of a lookup or timeline (weather.celsius)"],
    ),
    "a column that an expression reads": (
        columns(wind=Column("float64", source=col("weather.wind") * 2)),
        ["schema[wind].source", "'weather.wind'"],
    ),
    "another kind": (
        columns(celsius=Column("string", source="weather.celsius")),
        ["schema[celsius]", "'string'", "holds weather.celsius, which is float64"],
    ),
    "found by what is joined later": (
        {**columns(borough=Column("string", source="weather.celsius")), **timeline(columns={"celsius": "string"})}
        | {"schema": Schema({**COLUMNS, "celsius": Column("string", source="weather.celsius")})}
        | {"lookups": [replace(ZONES, on="celsius")]},
        ["lookups[zones].on", "'celsius'", "before weather.celsius is joined"],
    ),
    "a licence that is not allowed": (
        {"rules": Rules(licences=("ours",)), "source": replace(PIPELINE.source, licence="ours")},
        ["timelines[weather].source.licence", "'CC BY 4.0'", "one of ours"],
    ),
    "an address that is not allowed": (
        {"rules": Rules(allowed_sources=("/ours/*",)), "source": Files("{root}/x.parquet", "/ours")}
        | timeline(source=Files("{root}/{partition:%Y}.csv", "/weather")),
        ["timelines[weather].source", "'/weather/.csv'", "/ours/*"],
    ),
    "a barred column of another source": (
        {"rules": Rules(barred=("celsius_of",)), **timeline(columns={"celsius_of": "float64"})}
        | {"schema": Schema({**COLUMNS, "celsius": Column("float64", source="weather.celsius_of")})},
        ["features[celsius]", "barred"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_meant_is_refused_with_field_value_and_expectation(name: str) -> None:
    changes, words = WRONG[name]

    with pytest.raises(DeclarationError) as caught:
        replace(PIPELINE, **changes)

    for word in ["pipeline 'rides'", *words]:
        assert word in str(caught.value)


def test_a_lookup_may_give_the_key_of_a_timeline() -> None:
    boroughs = Schema({**COLUMNS, "borough": Column("string", source="zones.borough")})

    pipeline = replace(PIPELINE, lookups=[ZONES], schema=boroughs, **timeline(on={"borough": "station"}))

    assert [each.name for each in pipeline.beside] == ["zones", "weather"]


def test_a_column_may_have_the_name_of_a_timeline() -> None:
    assert "weather" in replace(PIPELINE, **columns(weather=Column("string"))).schema.columns


def test_readings_may_come_from_a_database() -> None:
    source = Sql("readings", url="sqlite:///x.db", changed="published_at")

    assert replace(PIPELINE, **timeline(source=source)).timelines[0].source == source


@pytest.mark.parametrize(
    "changes",
    [
        {"on": {}}, {"event_time": "at"}, {"known_at": "told_at"}, {"known_at": None, "known_after": hours(1)},
        {"within": hours(7)}, {"timezone": "Europe/Berlin"}, {"every": "1mo"},
    ],
)  # fmt: skip
def test_the_way_a_timeline_is_read_is_part_of_what_landing_applies(changes: dict[str, Any]) -> None:
    moved = timeline(source=Files("{root}/{partition:%Y-%m-%d}.csv", "/elsewhere"))

    assert replace(PIPELINE, **timeline(**changes)).part_hash("reading") != PIPELINE.part_hash("reading")
    assert replace(PIPELINE, **moved).part_hash("reading") == PIPELINE.part_hash("reading")
