"""Timelines: the readings beside a partition, from files that are cut by other days, and from databases."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import Files, Pipeline, Sql, hours
from perennial.errors import SchemaSkew, SourceError, SourceUnreachable
from perennial.ingestion.landing import Arrival, LandedPartition, land
from perennial.stores.sources import Sources
from perennial.stores.sources.timelines import Timelines
from tests.weather import PIPELINE, WEATHER

FIRST, SECOND, THIRD = "2024-01-01", "2024-01-02", "2024-01-03"
AT = datetime(2024, 2, 1, tzinfo=UTC)
Told = tuple[str, datetime, datetime, float]
"""A reading: its station, when it was measured and published, and what it says."""


def noon(day: str, hour: float = 12) -> datetime:
    return datetime.fromisoformat(day) + timedelta(hours=hour)


class Station:
    """A folder of readings, and the sources that read it."""

    def __init__(self, folder: Path, pipeline: Pipeline = PIPELINE) -> None:
        self.folder, self.pipeline = folder / "weather", pipeline
        self.folder.mkdir()
        self.sources = Sources(home=folder / "home", environment={"WEATHER": str(self.folder)})

    def tell(self, name: str, *told: Told) -> None:
        with (self.folder / f"{name}.csv").open("w", newline="") as file:
            write = csv.writer(file)
            write.writerow(["station", "measured_at", "published_at", "celsius"])
            write.writerows((s, f"{at:%Y-%m-%d %H:%M}", f"{known:%Y-%m-%d %H:%M}", c) for s, at, known, c in told)

    def join(self, day: str, *asked: datetime, timelines: Timelines | None = None) -> Arrival:
        rows = pl.DataFrame({"asked": asked, "zone": "a"}, schema={"asked": pl.Datetime("us"), "zone": pl.String})
        arrival = Arrival(partition=day, rows=rows, uri="", sha256="rows", size=1, signature="", fetched_at=AT)
        return (timelines or Timelines(sources=self.sources)).join(self.pipeline, arrival)

    def land(self, day: str, *asked: datetime) -> LandedPartition:
        return land(self.pipeline, self.join(day, *asked))

    def look(self, *days: str) -> dict[str, str]:
        found = Timelines(sources=self.sources).look(self.pipeline, days)
        return {day: seen["weather"] for day, seen in found.items()}


def reading(day: str, hour: float = 12, celsius: float = 1.0, late: float = 0.0) -> Told:
    return "a", noon(day, hour), noon(day, hour + late), celsius


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


def test_rows_see_readings_of_the_day_before_and_each_file_is_in_the_provenance(station: Station) -> None:
    station.tell(FIRST, reading(FIRST, 22, 5.0))
    station.tell(SECOND, reading(SECOND, 12, 7.0, late=1))

    landed = station.land(SECOND, noon(SECOND, 1), noon(SECOND, 12.5), noon(SECOND, 13))

    assert landed.frame["celsius"].to_list() == [5.0, None, 7.0]
    origins = landed.provenance["beside"]["weather"]
    assert [origin["uri"] for origin in origins] == [(station.folder / f"{d}.csv").as_uri() for d in (FIRST, SECOND)]
    assert {origin["licence"] for origin in origins} == {"CC BY 4.0"}
    assert len({origin["sha256"] for origin in origins}) == 2
    assert landed.provenance["sha256"] == landed.contents["source"] == "rows"


def test_what_was_read_is_what_a_look_sees_and_a_corrected_file_is_seen_where_rows_may_see_it(station: Station) -> None:
    days = (FIRST, SECOND, THIRD)
    for day in days:
        station.tell(day, reading(day))
    before = station.look(*days)
    assert station.join(SECOND, noon(SECOND)).readings == {"weather": before[SECOND]}
    contents = {day: station.join(day, noon(day)).contents for day in days}

    station.tell(FIRST, reading(FIRST, celsius=2.0), reading(FIRST, 13))

    after = station.look(*days)
    assert [day for day in days if before[day] != after[day]] == [FIRST, SECOND]
    assert [day for day in days if station.join(day, noon(day)).contents != contents[day]] == [FIRST, SECOND]


def test_of_before_the_start_there_may_be_none_and_everything_else_is_awaited(station: Station) -> None:
    station.tell(FIRST, reading(FIRST))
    assert station.land(FIRST, noon(FIRST)).frame["celsius"].to_list() == [1.0]

    with pytest.raises(
        SourceUnreachable, match=f"rides timeline weather {SECOND}: the partition's file cannot be read"
    ):
        station.join(SECOND, noon(SECOND))

    assert station.look(FIRST, SECOND)[SECOND] == ""
    assert station.look(FIRST)[FIRST] != ""
    station.tell(SECOND)
    assert station.look(SECOND)[SECOND] != ""
    assert station.land(SECOND, noon(SECOND)).frame["celsius"].to_list() == [None], "a header is an answer, too"


def test_a_file_that_is_no_table_and_one_of_other_columns_are_named(station: Station) -> None:
    (station.folder / f"{FIRST}.csv").write_text("<html><title>Sorry</title></html>")
    with pytest.raises(SourceError, match=r"rides timeline weather 2024-01-01: 2024-01-01.csv is an HTML page 'Sorry'"):
        station.join(FIRST, noon(FIRST))

    (station.folder / f"{FIRST}.csv").write_text("station,celsius\na,1\n")
    with pytest.raises(SchemaSkew, match=r"column 'measured_at', 'published_at' is missing"):
        station.join(FIRST, noon(FIRST))


def test_a_folder_that_is_away_says_so_and_is_no_change(station: Station) -> None:
    station.folder.rmdir()

    assert station.look(FIRST) == {FIRST: ""}
    with pytest.raises(SourceUnreachable, match=r"the source's folder is not there.*set WEATHER"):
        station.join(FIRST, noon(FIRST))


def test_neighbours_share_what_was_read_until_it_changes(station: Station) -> None:
    for day in (FIRST, SECOND, THIRD):
        station.tell(day, reading(day))
    timelines = Timelines(sources=station.sources)
    station.join(SECOND, noon(SECOND), timelines=timelines)
    shared = timelines._kept["rides timeline weather", SECOND]

    station.join(THIRD, noon(THIRD), timelines=timelines)
    assert sorted(day for _, day in timelines._kept) == [SECOND, THIRD]
    assert timelines._kept["rides timeline weather", SECOND] is shared

    station.tell(SECOND, reading(SECOND, 23, 9.0))
    again = land(PIPELINE, station.join(THIRD, noon(THIRD, 1), timelines=timelines))
    assert again.frame["celsius"].to_list() == [9.0]


def test_one_file_of_all_readings_touches_only_the_days_whose_readings_changed(tmp_path: Path) -> None:
    whole = replace(WEATHER, source=Files("{root}/all.csv", WEATHER.source.root))  # type: ignore[union-attr]
    station = Station(tmp_path, replace(PIPELINE, timelines=[whole]))
    days = (FIRST, SECOND, THIRD, "2024-01-04")
    station.tell("all", reading(FIRST), reading(SECOND, 23))
    before = station.look(*days)
    assert station.join(SECOND, noon(SECOND)).readings == {"weather": before[SECOND]}

    station.tell("all", reading(FIRST), reading(SECOND, 23, celsius=4.0))

    after = station.look(*days)
    assert [day for day in days if before[day] != after[day]] == [SECOND, THIRD]
    assert station.land(THIRD, noon(THIRD, 1)).frame["celsius"].to_list() == [4.0]
    assert station.land("2024-01-04", noon("2024-01-04")).frame["celsius"].to_list() == [None], "no row, no error"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a database without a table of readings."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'readings.db'}"
    url = str(request.getfixturevalue("postgres_url")).replace("postgresql://", "postgresql+psycopg://")
    run(url, "DROP TABLE IF EXISTS readings")
    return url


def run(url: str, *statements: str) -> None:
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def test_readings_of_a_database_are_read_by_their_time_and_a_change_is_seen(database: str, tmp_path: Path) -> None:
    typed = database.startswith("postgresql")
    timeline = replace(WEATHER, source=Sql("readings", url=database, changed="published_at"))
    timeline = replace(timeline, event_time="measured_at", known_at="published_at") if typed else timeline
    station = Station(tmp_path, replace(PIPELINE, timelines=[timeline]))
    kind, told = "timestamptz" if typed else "text", "INSERT INTO readings VALUES ('a', '{}', '{}', {})"
    run(
        database,
        f"CREATE TABLE readings (station text, measured_at {kind}, published_at {kind}, celsius real)",
        told.format("2024-01-01 22:00", "2024-01-01 23:00", 5.0),
        told.format("2024-01-02 12:00", "2024-01-02 12:00", 7.0),
    )
    before = station.look(FIRST, SECOND, THIRD)

    assert station.land(SECOND, noon(SECOND, 1), noon(SECOND)).frame["celsius"].to_list() == [5.0, 7.0]
    assert station.join(SECOND, noon(SECOND)).readings == {"weather": before[SECOND]}

    run(database, told.format("2024-01-02 12:00", "2024-01-02 13:00", 8.0))
    after = station.look(FIRST, SECOND, THIRD)
    assert [day for day in before if before[day] != after[day]] == [SECOND, THIRD]
    assert station.land(SECOND, noon(SECOND), noon(SECOND, 14)).frame["celsius"].to_list() == [7.0, 8.0]


MOMENTS = st.integers(-20, 100).map(lambda half: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=30 * half))
LATE = st.sampled_from([0, 0, 1, 5, 30]).map(lambda hour: timedelta(hours=hour))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(MOMENTS, LATE, st.integers(0, 99).map(float)), max_size=10),
    st.lists(MOMENTS, min_size=1, max_size=6),
    st.sampled_from([hours(1), hours(6), hours(30)]),
    st.sampled_from(["America/New_York", "UTC", "Asia/Tokyo"]),
)
def test_the_files_that_are_read_hold_every_reading_that_a_row_may_see(
    told: list[tuple[datetime, timedelta, float]],
    asked: list[datetime],
    within: timedelta,
    timezone: str,
) -> None:
    time = replace(PIPELINE.time, start="2023-12-30", timezone=timezone)
    timeline = replace(WEATHER, within=within, timezone="UTC")
    pipeline = replace(PIPELINE, time=time, timelines=[timeline])
    with TemporaryDirectory() as folder:
        station = Station(Path(folder), pipeline)
        for day in time.keys("2023-12-28", "2024-01-06"):
            station.tell(day, *(("a", at, at + late, c) for at, late, c in told if f"{at:%Y-%m-%d}" == day))
        for key, moments in _by_day(pipeline, asked).items():
            local = [at.astimezone(time.zone).replace(tzinfo=None) for at in moments]
            assert station.land(key, *local).frame["celsius"].to_list() == [_last(told, at, within) for at in moments]


def _by_day(pipeline: Pipeline, asked: Sequence[datetime]) -> dict[str, list[datetime]]:
    found: dict[str, list[datetime]] = {}
    for at in asked:
        found.setdefault(pipeline.time.key_of(at), []).append(at)
    return found


def _last(told: list[tuple[datetime, timedelta, float]], now: datetime, within: timedelta) -> float | None:
    seen = [(at, at + late, n, value) for n, (at, late, value) in enumerate(told) if at + late <= now]
    last = max(seen, default=None)
    return last[3] if last is not None and now - last[0] <= within else None
