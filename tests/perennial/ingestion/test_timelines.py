"""Timelines: a row sees the last reading that it could know, held against a look through all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perennial import Column, Files, Lookup, Schema, Timeline, hours
from perennial.errors import SchemaSkew
from perennial.ingestion.landing import Arrival, land
from perennial.ingestion.lookups import BEGINNING, KnownVersions
from perennial.ingestion.timelines import AT, KNOWN, KnownReadings, Readings, read_readings
from tests.weather import DAY, PIPELINE, WEATHER

WINDOW = PIPELINE.time.window("2024-01-02")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One reading, its times in hours of the day."""

    key: str = "a"
    at: float = 0
    known: float = 0
    value: float | None = 0.0


def known_readings(readings: list[Reading], timeline: Timeline = WEATHER) -> KnownReadings:
    told = pl.DataFrame(
        [(DAY + timedelta(hours=r.at), DAY + timedelta(hours=r.known), r.key, r.value) for r in readings],
        schema={
            AT: pl.Datetime("us", "UTC"), KNOWN: pl.Datetime("us", "UTC"), "its zone": pl.String,
            "weather.celsius": pl.Float64,
        },
        orient="row",
    )  # fmt: skip
    told = told if timeline.on else told.drop("its zone")
    return KnownReadings(readings=Readings(pipeline=PIPELINE, timeline=timeline), told=told, origins=[])


def last_known(readings: list[Reading], key: str | None, hour: float, within: float = 6) -> float | None:
    """A slow look through all readings for the last one that had happened and was known."""
    seen = [(r.at, r.known, n, r) for n, r in enumerate(readings) if r.key == key and r.at <= hour and r.known <= hour]
    last = max(seen, default=None, key=lambda one: one[:3])
    return last[3].value if last is not None and hour - last[0] <= within else None


HOURS = st.integers(0, 60).map(lambda half: half / 2)
READINGS = st.lists(
    st.builds(
        lambda key, at, late, value: Reading(key=key, at=at, known=at + late, value=value),
        st.sampled_from("ab"),
        HOURS,
        st.sampled_from([-2, 0, 0, 0.5, 1, 4, 9]),
        st.one_of(st.none(), st.integers(0, 99).map(float)),
    ),
    max_size=12,
)
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), HOURS), min_size=1, max_size=12)
CORRECTED = [Reading(at=1, known=2, value=5.0), Reading(at=1, known=4, value=6.0), Reading(at=1, known=3, value=7.0)]


@given(READINGS, ROWS)
@example(CORRECTED, [("a", 1.5), ("a", 2.0), ("a", 3.0), ("a", 4.0), ("a", 7.0), ("a", 7.5)])
@example([Reading(at=2, known=2, value=1.0), Reading(at=1, known=3, value=2.0)], [("a", 4.0)])
@example([Reading(at=2, known=1, value=1.0)], [("a", 1.5), ("a", 2.0)])
@example([Reading(at=2, value=1.0), Reading(at=2, value=2.0)], [("a", 2.0)])
def test_each_row_sees_what_a_slow_look_through_all_readings_says(
    readings: list[Reading], rows: list[tuple[str | None, float]]
) -> None:
    keys = pl.Series([key for key, _ in rows], dtype=pl.String)
    times = pl.Series([DAY + timedelta(hours=hour) for _, hour in rows], dtype=pl.Datetime("us", "UTC"))

    joined = known_readings(readings).join(pl.DataFrame({"n": range(len(rows))}), [keys], times)

    slow = [last_known(readings, key, hour) for key, hour in rows]
    ever = [last_known(readings, key, hour, within=1_000) for key, hour in rows]
    assert joined.rows["n"].to_list() == list(range(len(rows)))
    assert joined.rows["weather.celsius"].to_list() == slow
    if all(reading.value is not None for reading in readings):
        stale = sum(last is not None for last in ever) - sum(last is not None for last in slow)
        assert list(joined.told.values()) == [ever.count(None), stale]


@given(READINGS, ROWS)
def test_a_timeline_without_keys_is_one_series_for_all_rows(
    readings: list[Reading], rows: list[tuple[str | None, float]]
) -> None:
    times = pl.Series([DAY + timedelta(hours=hour) for _, hour in rows], dtype=pl.Datetime("us", "UTC"))

    joined = known_readings(readings, replace(WEATHER, on={})).join(pl.DataFrame({"n": range(len(rows))}), [], times)

    one = [replace(reading, key="a") for reading in readings]
    assert joined.rows["weather.celsius"].to_list() == [last_known(one, "a", hour) for _, hour in rows]


def test_a_row_without_a_time_sees_nothing() -> None:
    times = pl.Series([None, DAY], dtype=pl.Datetime("us", "UTC"))

    joined = known_readings([Reading(value=3.0)]).join(pl.DataFrame({"n": [1, 2]}), [pl.Series(["a", "a"])], times)

    assert joined.rows["weather.celsius"].to_list() == [None, 3.0]


def of_text(text: str, timeline: Timeline = WEATHER) -> tuple[Readings, pl.DataFrame]:
    readings = Readings(pipeline=PIPELINE, timeline=timeline)
    names, *lines = [line.split(",") for line in text.split()]
    columns = {name: [line[n].replace("_", " ") or None for line in lines] for n, name in enumerate(names)}
    rows = pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String))
    return readings, read_readings(readings, arrival(rows, is_text=True))


def arrival(rows: pl.DataFrame, *, is_text: bool = False) -> Arrival:
    return Arrival(
        partition="2024-01-02", rows=rows, is_text=is_text, uri="", sha256="", size=1, signature="", fetched_at=DAY
    )


def test_text_is_read_as_declared_in_the_timezone_of_the_timeline() -> None:
    text = "station,measured_at,published_at,celsius\n7,2024-01-02_10:00,2024-01-02_10:30,3.5\n"

    _, rows = of_text(text, replace(WEATHER, timezone="Europe/Berlin"))

    at, known = (datetime(2024, 1, 2, 9, minute, tzinfo=UTC) for minute in (0, 30))
    assert rows.rows() == [(at, known, "7", 3.5)]


def test_readings_without_a_column_for_it_are_known_so_long_after_their_time() -> None:
    text = "station,measured_at,celsius\n7,2024-01-02_10:00,3.5\n"

    _, rows = of_text(text, replace(WEATHER, known_at=None, known_after=hours(1)))

    assert rows[KNOWN].to_list() == [DAY + hours(11)]


def test_readings_without_a_time_or_key_count_as_none() -> None:
    text = (
        "station,measured_at,published_at,celsius\n"
        ",2024-01-02_10:00,2024-01-02_10:00,1\n7,,2024-01-02_10:00,2\n7,2024-01-02_10:00,,3\n"
        "7,2024-01-02_09:00,2024-01-02_09:00,4\n"
    )
    readings, rows = of_text(text)
    known = KnownReadings(readings=readings, told=rows, origins=[])

    joined = known.join(pl.DataFrame({"n": [1]}), [pl.Series(["7"])], pl.Series([DAY + hours(12)]))

    assert known.unusable == 3
    assert joined.rows["weather.celsius"].to_list() == [4.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("station,measured_at,celsius\n7,2024-01-02_10:00,1\n", "column 'published_at' is missing"),
        ("place,measured_at,published_at,celsius\n7,2024-01-02_10:00,,1\n", "column 'station' is missing"),
        ("station,measured_at,published_at,celsius\n7,2024-01-02_10:00,,warm\n", "'weather.celsius' holds 'warm'"),
        ("station,measured_at,published_at,celsius\n7,noon,,1\n", "'event_time' cannot be computed"),
    ],
)
def test_readings_that_do_not_fit_say_so(text: str, words: str) -> None:
    with pytest.raises(SchemaSkew) as caught:
        of_text(text)

    assert words in str(caught.value)
    assert "rides timeline weather 2024-01-02" in str(caught.value)


def test_rows_land_with_their_readings_and_say_how_many_have_none() -> None:
    known = known_readings([Reading(at=8, known=9, value=3.0)])
    asked = [datetime(2024, 1, 2, hour) for hour in (8, 9, 14, 15)]
    rows = pl.DataFrame({"asked": asked, "zone": "a"})

    landed = land(PIPELINE, replace(arrival(rows), beside=(known,), readings={"weather": "s"}))

    assert landed.frame["celsius"].to_list() == [None, 3.0, 3.0, None]
    assert landed.provenance["readings"] == {"weather": "s"}
    assert landed.provenance["notes"] == [
        "timeline weather: 1 of 4 rows see no reading",
        "timeline weather: 1 of 4 rows see none that is new enough",
    ]


def test_a_lookup_may_tell_by_which_key_a_row_finds_its_readings() -> None:
    stations = Lookup(name="zones", source=Files("/zones.csv"), key="id", on="zone", columns={"station": "string"})
    pipeline = replace(
        PIPELINE,
        lookups=[stations],
        timelines=[replace(WEATHER, on={"station": "station"})],
        schema=Schema({**PIPELINE.schema.columns, "station": Column("string", source="zones.station")}),
    )
    versions = pl.DataFrame({"known_from": [BEGINNING] * 2, "id": ["z", "y"], "station": ["b", None]})
    readings = known_readings([Reading(key="b", value=3.0), Reading(key="z", value=9.0)])
    beside = (
        KnownVersions(
            lookup=stations, versions=versions.with_columns(uri=None, sha256=None, licence=None), window=WINDOW
        ),
        replace(
            readings,
            readings=Readings(pipeline=pipeline, timeline=pipeline.timelines[0]),
            told=readings.told.rename({"its zone": "its station"}),
        ),
    )
    rows = pl.DataFrame({"asked": [datetime(2024, 1, 2, 1)] * 3, "zone": ["z", "y", "x"]})

    landed = land(pipeline, replace(arrival(rows), beside=beside))

    assert landed.frame["station"].to_list() == ["b", None, None]
    assert landed.frame["celsius"].to_list() == [3.0, None, None]


def test_the_partitions_that_rows_may_see_reach_back_and_follow_their_own_clock() -> None:
    in_new_york = replace(PIPELINE, time=replace(PIPELINE.time, timezone="America/New_York"))
    of = lambda pipeline, **changes: Readings(pipeline=pipeline, timeline=replace(WEATHER, **changes))  # noqa: E731

    assert of(PIPELINE).partitions("2024-01-02") == ["2024-01-01", "2024-01-02"]
    assert of(in_new_york, timezone="UTC").partitions("2024-01-02") == ["2024-01-01", "2024-01-02", "2024-01-03"]
    assert of(PIPELINE, every="1mo").partitions("2024-01-02") == ["2024-01"]
    assert of(PIPELINE, every="1h", within=hours(1)).partitions("2024-01-02")[:2] == ["2024-01-01T23", "2024-01-02T00"]
    assert of(PIPELINE).needed("2024-01-01") == ["2024-01-01"], "there may be none of before the pipeline's start"
    assert of(PIPELINE).needed("2024-01-02") == ["2024-01-01", "2024-01-02"]
    assert of(PIPELINE, source=Files("/all.csv")).needed("2024-01-02") == []
