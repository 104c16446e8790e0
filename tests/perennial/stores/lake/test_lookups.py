"""Lookups: each row sees the version of a small table that was known at its time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import (
    Column,
    Daily,
    Files,
    Label,
    Lookup,
    Median,
    Pipeline,
    Regression,
    Schema,
    ShareWithin,
    Windows,
    col,
    env,
)
from perennial.errors import DeclarationError, SourceError
from perennial.ingestion.landing import Arrival, land
from perennial.ingestion.lookups import BEGINNING, KnownVersions
from perennial.stores.lake.lakehouse import Lakehouse
from perennial.stores.lake.lookups import Lookups
from perennial.stores.sources import Sources

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
ZONES = Lookup(
    name="zones",
    source=Files("{root}/zones.csv", root=env("ZONES"), licence="terms of use"),
    key="LocationID",
    on="zone",
    columns={"Borough": "string", "area": "float64"},
)
PIPELINE = Pipeline(
    name="rides",
    owner="team:tests",
    objective=Regression(goal=1.0, unit="minutes", kpi=ShareWithin(5.0)),
    source=Files("{root}/{partition:%Y-%m-%d}.parquet"),
    time=Daily(start="2024-01-01", event_time="asked"),
    key=["asked"],
    lookups=[ZONES],
    schema=Schema(
        {
            "asked": Column("datetime"),
            "zone": Column("int32", source="PULocationID"),
            "borough": Column("string", source="zones.Borough"),
            "area": Column("float64", source="zones.area"),
        }
    ),
    features=[col("zone")],
    label=Label("z", value=col("zone"), known_at="asked"),
    candidates=[Median(by="zone")],
    windows=Windows(train=1),
)


class City:
    """A lookup's file, the lake that keeps its versions, and rows of a day."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "zones.csv"
        self.sources = Sources(home=folder, environment={"ZONES": str(folder)})
        self.lookups = Lookups(lakehouse=Lakehouse(root=str(folder / "lake")), sources=self.sources)

    def tell(self, text: str, *, at: datetime = NOON) -> None:
        self.file.write_text("LocationID,Borough,area,Zone\n" + text)
        self.lookups.refresh(PIPELINE, at=at)

    def joined(self, *rows: tuple[int, int | None], pipeline: Pipeline = PIPELINE) -> Arrival:
        times = [datetime(2024, 1, 2, hour) for hour, _ in rows]
        zones = pl.Series([zone for _, zone in rows], dtype=pl.Int64)
        frame = pl.DataFrame({"asked": times, "PULocationID": zones})
        arrival = Arrival(
            partition="2024-01-02", rows=frame, uri="", sha256="", size=1, signature="", fetched_at=NOON
        )  # fmt: skip
        return self.lookups.join(pipeline, arrival)

    def boroughs(self, *rows: tuple[int, int | None]) -> list[str | None]:
        return land(PIPELINE, self.joined(*rows)).frame["borough"].to_list()


@pytest.fixture
def city(tmp_path: Path) -> City:
    return City(tmp_path)


def test_each_row_sees_the_version_known_at_its_time(city: City) -> None:
    city.tell("1,Newark,2.5,x\n2,Queens,,y\n", at=NOON - timedelta(days=9))
    city.tell("1,EWR,2.5,x\n3,Bronx,1,z\n", at=NOON)

    assert city.boroughs((11, 1), (12, 1), (13, 1)) == ["Newark", "EWR", "EWR"]
    assert city.boroughs((11, 2), (12, 2), (11, 3), (12, 3)) == ["Queens", None, None, "Bronx"]


def test_a_key_that_the_lookup_lacks_is_null_and_counted(city: City) -> None:
    city.tell("1,Newark,2.5,x\n")

    landed = land(PIPELINE, city.joined((1, 1), (2, 9), (3, None)))

    assert landed.frame["borough"].to_list() == ["Newark", None, None]
    assert landed.frame["area"].to_list() == [2.5, None, None]
    assert landed.notes[0] == "lookup zones: 1 of 3 rows have a key that it lacks"


def test_equal_content_makes_no_new_version_and_each_version_has_its_provenance(city: City) -> None:
    city.tell("1,Newark,2.5,x\n2,Queens,1,y\n")
    city.tell("2,Queens,1.0,other\n1,Newark,2.5,x\n", at=NOON + timedelta(days=1))

    versions = city.lookups.versions(PIPELINE, ZONES)

    assert versions is not None
    assert versions["known_from"].unique().to_list() == [BEGINNING]
    assert versions["fetched_at"].unique().to_list() == [NOON]
    assert versions["licence"].unique().to_list() == ["terms of use"]


def test_a_lookup_that_cannot_be_read_leaves_its_last_version_standing(city: City) -> None:
    city.tell("1,Newark,2.5,x\n")
    city.file.write_text("<html>")
    city.lookups.refresh(PIPELINE, at=NOON)

    arrival = city.joined((1, 1))

    landed = land(PIPELINE, arrival)
    assert landed.frame["borough"].to_list() == ["Newark"]
    assert "its last version stands" in arrival.notes[0]
    assert "an HTML page" in arrival.notes[0]
    versions = city.lookups.versions(PIPELINE, ZONES)
    assert versions is not None
    (origin,) = landed.provenance["beside"]["zones"]
    assert origin == {"uri": versions["uri"][0], "sha256": versions["sha256"][0], "licence": "terms of use"}
    assert landed.provenance["notes"] == list(arrival.notes)


def test_a_column_that_is_taken_later_speaks_for_the_versions_before_it(city: City) -> None:
    city.tell("1,Newark,2.5,x\n2,Queens,1,y\n", at=NOON - timedelta(days=9))
    city.tell("1,EWR,2.5,x\n2,Queens,1,y\n")
    columns = {**PIPELINE.schema.columns, "place": Column("string", source="zones.Zone")}
    wider = replace(
        PIPELINE,
        lookups=[replace(ZONES, columns={**ZONES.columns, "Zone": "string"})],
        schema=Schema(columns),
    )

    with pytest.raises(SourceError, match="the lookup 'zones' has no version"):
        city.joined((11, 1), pipeline=wider)

    city.lookups.refresh(wider, at=NOON + timedelta(hours=1))

    rows = land(wider, city.joined((11, 1), (13, 1), pipeline=wider)).frame
    assert rows["borough"].to_list() == ["Newark", "EWR"]
    assert rows["place"].to_list() == ["x", "x"]


def test_versions_are_compared_and_written_under_the_lock_of_their_table(tmp_path: Path) -> None:
    city, seen = City(tmp_path), list[str]()

    @contextmanager
    def holding(table: str) -> Iterator[None]:
        """Another process that was here first has kept the same content meanwhile."""
        seen.append(table)
        if len(seen) == 1:
            Lookups(lakehouse=city.lookups.lakehouse, sources=city.sources).refresh(PIPELINE, at=NOON)
        yield

    lookups = replace(city.lookups, holding=holding)
    city.file.write_text("LocationID,Borough,area,Zone\n1,Newark,2.5,x\n")
    lookups.refresh(PIPELINE, at=NOON + timedelta(hours=1))

    versions = lookups.versions(PIPELINE, ZONES)
    assert seen == [PIPELINE.table("lookups/zones")]
    assert versions is not None
    assert versions["fetched_at"].to_list() == [NOON], "the first keeper's version stands"


def test_versions_that_were_kept_by_another_key_are_none_of_it(city: City) -> None:
    city.tell("1,Newark,2.5,x\n")
    lookup = replace(ZONES, key="Zone")
    other = replace(PIPELINE, lookups=[lookup])
    assert city.lookups.versions(other, lookup) is None

    city.lookups.refresh(other, at=NOON)

    versions = city.lookups.versions(other, lookup)
    assert versions is not None
    assert versions["Zone"].to_list() == ["x"]
    assert versions["known_from"].to_list() == [BEGINNING]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,Newark,2.5,x\n1,EWR,1,x\n", "has a key twice, or none, found LocationID '1' and 1 more rows"),
        ("1,Newark,wide,x\n", "'area' holds 'wide'"),
        ("1,Newark\n", "line 2: 2 fields"),
        ("", "the lookup 'zones' has no rows"),
    ],
)
def test_a_lookup_without_a_version_that_can_be_read_is_an_error_of_the_source(
    city: City, text: str, words: str
) -> None:
    city.tell(text)

    with pytest.raises(SourceError) as caught:
        city.joined((1, 1))

    assert "rides 2024-01-02: the lookup 'zones' has no version" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (replace(ZONES, on="place"), "lookups[zones].on"),
        (replace(ZONES, source=Files("{partition:%Y}.csv")), "one file, without {partition}"),
        (
            replace(ZONES, columns={"area": "float64"}),
            "'zones.Borough', expected a column of a lookup or timeline (zones.area)",
        ),
        (replace(ZONES, columns={"uri": "string"}), "names that the lookup's table does not use"),
    ],
)
def test_a_lookup_that_does_not_fit_its_pipeline_is_refused(changed: Lookup, words: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        replace(PIPELINE, lookups=[changed])

    assert words in str(caught.value)


def test_the_way_a_lookup_is_joined_is_part_of_what_landing_applies() -> None:
    other = replace(PIPELINE, lookups=[replace(ZONES, key="Zone")])
    moved = replace(PIPELINE, lookups=[replace(ZONES, source=replace(ZONES.source, root="/elsewhere"))])

    assert other.part_hash("reading") != PIPELINE.part_hash("reading") == moved.part_hash("reading")


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.dictionaries(st.integers(0, 3), st.integers(0, 9))),
        min_size=1,
        max_size=5,
        unique_by=lambda version: version[0],
    ),
    st.lists(st.tuples(st.integers(0, 25), st.integers(0, 3)), min_size=1, max_size=10),
)
def test_the_join_is_what_a_slow_look_through_the_versions_says(
    told: list[tuple[int, dict[int, int]]], rows: list[tuple[int, int]]
) -> None:
    ordered = sorted(told, key=lambda version: version[0])
    told = [(0 if number == 0 else hour + 1, table) for number, (hour, table) in enumerate(ordered)]
    versions = pl.DataFrame(
        [(BEGINNING + timedelta(hours=hour), str(key), value) for hour, table in told for key, value in table.items()],
        schema={"known_from": pl.Datetime("us", "UTC"), "k": pl.String, "v": pl.Int64},
        orient="row",
    )
    present = [(hour, table) for hour, table in told if table]
    if not present or present[0][0] != 0:
        return
    times = pl.Series([BEGINNING + timedelta(hours=hour) for hour, _ in rows], dtype=pl.Datetime("us", "UTC"))
    keys = pl.Series([key for _, key in rows])
    lookup = replace(ZONES, key="k", columns={"v": "int64"})

    known = KnownVersions(lookup=lookup, versions=versions, window=PIPELINE.time.window("2024-01-02"))
    joined = known.join(pl.DataFrame({"n": range(len(rows))}), [keys], times)

    slow = [[table for since, table in present if since <= hour][-1].get(key) for hour, key in rows]
    assert joined.rows["zones.v"].to_list() == slow
    assert joined.told == {"lookup zones: {} have a key that it lacks": slow.count(None)}


@pytest.mark.real_data
def test_the_taxi_zones_give_each_zone_its_borough(tmp_path: Path, real_data: Path) -> None:
    city = City(tmp_path)
    city.sources = Sources(home=tmp_path, environment={"ZONES": str(real_data / "taxi_zones")})
    lookups = Lookups(lakehouse=city.lookups.lakehouse, sources=city.sources)
    source = replace(ZONES.source, pattern="{root}/taxi_zone_lookup.csv")
    zones = replace(ZONES, source=source, columns={"Borough": "string"})
    columns = {name: column for name, column in PIPELINE.schema.columns.items() if name != "area"}
    pipeline = replace(PIPELINE, lookups=[zones], schema=Schema(columns))
    lookups.refresh(pipeline, at=NOON)

    versions = lookups.versions(pipeline, zones)

    assert versions is not None
    assert versions.filter(pl.col("LocationID") == "132")["Borough"].to_list() == ["Queens"]
    assert versions.height == 265
