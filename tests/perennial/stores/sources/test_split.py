"""Split: one file of all partitions touches only the partitions whose rows changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from perennial import Column, Files, Label, Linear, Median, Monthly, Pipeline, Schema, ShareWithin, Windows, col
from perennial.errors import SourceError
from perennial.ingestion.landing import land
from perennial.objective import Regression
from perennial.sources import Csv
from perennial.stores.sources import Sources, split
from perennial.stores.sources.content import Content
from perennial.stores.sources.formats import Rows, read_rows
from tests.perennial.stores.sources.placing import placed

AT = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS = ["2016-01", "2016-02", "2016-03"]
BOOKINGS = """agent,adr,day,lead_time
NULL,75.5,2016-03-05,10
240,60,2016-03-05,40
NULL,80,2016-02-01,0
"""
arrived = col("day").str.to_datetime("%Y-%m-%d")

PIPELINE = Pipeline(
    name="hotel",
    owner="team:tests",
    objective=Regression(goal=1.0, unit="euros", kpi=ShareWithin(5.0)),
    source=Files("{root}/bookings.csv", row_number="booking", format=Csv(null_values=("NULL",)), licence="CC BY 4.0"),
    time=Monthly(start="2016-01", end="2016-12", event_time="booked_on"),
    key=["booking"],
    schema=Schema(
        {
            "booking": Column("int64"),
            "price": Column("float64", source="adr"),
            "agent": Column("int32"),
            "lead": Column("int32", source="lead_time"),
            "booked_on": Column("datetime", source=arrived - pl.duration(days=col("lead_time"))),
        }
        | {"day": Column("string")}
    ),
    features=[col("lead")],
    label=Label("price", value=col("price"), known_at="booked_on"),
    candidates=[Median(by="lead")],
    windows=Windows(train=1),
)


class World:
    """A folder with the one file, and the sources that read it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "in" / "bookings.csv"
        self.file.parent.mkdir()
        self.home = folder / "home"
        self.pipeline = placed(PIPELINE, root=str(self.file.parent))
        self.write(BOOKINGS)

    def write(self, text: str) -> None:
        self.file.write_text(text)

    @property
    def sources(self) -> Sources:
        return Sources(home=self.home, environment={})

    def signatures(self) -> dict[str, str]:
        return self.sources.signatures(self.pipeline, MONTHS)

    def rows(self, key: str) -> list[dict[str, object]]:
        landed = land(self.pipeline, self.sources.read(self.pipeline, key, fetched_at=AT))
        return landed.frame.select("booking", "price", "agent", "booked_on").rows(named=True)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_each_partition_has_the_rows_whose_event_time_lies_in_it(world: World) -> None:
    booked = datetime(2016, 2, 24)

    assert sorted(world.signatures()) == ["2016-01", "2016-02"]
    assert [row["booking"] for row in world.rows("2016-01")] == [2]
    assert world.rows("2016-02")[0] == {"booking": 1, "price": 75.5, "agent": None, "booked_on": booked}
    assert [row["booking"] for row in world.rows("2016-02")] == [1, 3]


def test_a_time_with_an_offset_is_cut_and_landed_by_the_calendars_clock(world: World) -> None:
    time = replace(world.pipeline.time, timezone="Europe/Berlin")
    booked = Column("datetime", source=col("at").str.to_datetime("%+"))
    columns = {"booking": Column("int64"), "booked_on": booked, "price": Column("float64", source="adr")}
    world.pipeline = replace(
        world.pipeline, time=time, schema=Schema(columns), features=[col("booking").alias("n")], candidates=[Linear()]
    )
    world.write("adr,at\n1,2016-01-31T23:30:00Z\n")

    landed = land(world.pipeline, world.sources.read(world.pipeline, "2016-02", fetched_at=AT))

    assert landed.frame["booked_on"].to_list() == [datetime(2016, 2, 1, 0, 30)]
    assert landed.frame["event_time"].to_list() == [datetime(2016, 1, 31, 23, 30, tzinfo=UTC)]
    assert any("the wall clock of Europe/Berlin" in note for note in landed.notes)


def test_provenance_names_the_whole_file(world: World) -> None:
    arrival = world.sources.read(world.pipeline, "2016-02", fetched_at=AT)

    provenance = land(world.pipeline, arrival).provenance

    assert provenance["uri"] == world.file.as_uri()
    assert (provenance["bytes"], provenance["rows"]) == (len(BOOKINGS), 2)
    assert provenance["licence"] == "CC BY 4.0"
    assert provenance["signature"] == world.signatures()["2016-02"]


def test_a_changed_file_touches_only_the_partitions_whose_rows_changed(world: World) -> None:
    before = world.signatures()

    world.write(BOOKINGS.replace("75.5", "75.25") + "NULL,1,2016-03-09,0\n")

    after = world.signatures()
    assert after["2016-01"] == before["2016-01"]
    assert after["2016-02"] != before["2016-02"]
    assert sorted(after) == MONTHS


def test_a_file_is_parsed_once_for_all_its_partitions_and_looks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Content] = []

    def count(content: Content, source: Files, *, spool: Path, where: str) -> Rows:
        parsed.append(content)
        return read_rows(content, source, spool=spool, where=where)

    monkeypatch.setattr(split, "read_rows", count)

    for _ in range(3):
        world.signatures()
        world.rows("2016-01")
        world.rows("2016-02")

    assert len(parsed) == 1


def test_another_way_of_reading_cuts_the_file_again_and_old_cuts_are_forgotten(world: World) -> None:
    for name in ("a", "b", "c"):
        declared = replace(world.pipeline.schema.columns["agent"], meaning=name)
        world.pipeline = replace(world.pipeline, schema=Schema({**world.pipeline.schema.columns, "agent": declared}))
        assert world.rows("2016-01")

    assert len(list((world.home / "sources" / "hotel").iterdir())) == split.KEPT


def test_a_row_without_an_event_time_goes_to_the_first_partition(world: World) -> None:
    world.write(BOOKINGS + "7,1,NULL,3\n")

    assert [(row["booking"], row["booked_on"] is None) for row in world.rows("2016-01")] == [(2, False), (4, True)]


def test_a_partition_without_rows_is_an_error_that_says_which_there_are(world: World) -> None:
    with pytest.raises(SourceError, match=r"no row of .*bookings.csv lies in.*2 partitions from 2016-01 to 2016-02"):
        world.rows("2016-03")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOOKINGS.replace("2016-02-01", "1.2.2016"), ["event time of its rows cannot be read", "1.2.2016"]),
        (BOOKINGS.replace("day", "date"), ["event time", "'day' is missing"]),
        ("<html><title>Login</title>", ["an HTML page 'Login'"]),
        ("", ["an empty file"]),
    ],
)
def test_a_file_that_cannot_be_cut_is_one_clear_error_with_its_signature(
    world: World, text: str, words: list[str]
) -> None:
    world.write(text)

    with pytest.raises(SourceError) as caught:
        world.signatures()

    assert caught.value.signature
    for word in ["hotel: ", *words]:
        assert word in str(caught.value)


def test_a_file_that_is_not_there_is_an_error(world: World) -> None:
    world.file.unlink()

    with pytest.raises(SourceError, match=r"No such file.*bookings.csv"):
        world.signatures()


@pytest.mark.real_data
def test_the_hotel_bookings_are_cut_into_months(tmp_path: Path, real_data: Path) -> None:
    arrival = pl.concat_str(
        [col("arrival_date_year"), col("arrival_date_month"), col("arrival_date_day_of_month")], separator="-"
    )
    booked = arrival.str.to_datetime("%Y-%B-%d") - pl.duration(days=col("lead_time").cast(int))
    source = Files(
        "{root}/hotel_bookings.csv.zip", root=str(real_data / "hotel_bookings"), row_number="booking",
        format=Csv(null_values=("NULL",)),
    )  # fmt: skip
    columns = {**PIPELINE.schema.columns, "booked_on": Column("datetime", source=booked), "day": Column("string")}
    time = replace(PIPELINE.time, start="2013-06", end="2017-08")
    pipeline = replace(PIPELINE, source=source, schema=Schema(columns, allow_additional=True), time=time)
    keys = time.keys("2013-06", "2017-08")
    sources = Sources(home=tmp_path, environment={})

    found = sources.signatures(pipeline, keys)
    rows = {key: sources.read(pipeline, key, fetched_at=AT).frame.height for key in found}

    assert sum(rows.values()) == 119_390
    assert rows["2016-04"] == 4_940
