"""Revisions: what was known on a day stays what was known on that day, whatever is delivered later."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import (
    Column,
    Daily,
    Files,
    Label,
    Late,
    Median,
    Pipeline,
    Regression,
    Schema,
    ShareWithin,
    Windows,
    col,
    days,
    expect,
)  # fmt: skip
from perennial.graph.records import PartitionRecord
from perennial.ingestion.landing import Arrival, LandedPartition, land
from perennial.ingestion.revisions import Place, Revision, place_of, revise
from perennial.validation.expectations import Expectation
from perennial.validation.verdicts import split_rows

DAY = "2024-03-01"
END = datetime(2024, 3, 2, tzinfo=UTC)
SHOP = Pipeline(
    name="shop",
    owner="team:shop",
    objective=Regression(goal=1.0, unit="EUR", kpi=ShareWithin(1.0)),
    source=Files("{root}/{partition:%Y-%m-%d}.parquet"),
    time=Daily(start="2024-01-01", event_time="sold_at"),
    key=["sale"],
    schema=Schema({"sale": Column("int64"), "sold_at": Column("datetime"), "price": Column("float64")}),
    features=[col("sale").cast(str).alias("item")],
    label=Label("price", value=col("price"), known_at="sold_at"),
    candidates=[Median(by="item")],
    windows=Windows(train=1),
)

Rows = list[tuple[int, float | None]]
ROWS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([None, 1.0, 2.0, float("nan")])), max_size=6)


def delivered(rows: Rows, *, arrived: datetime = END, pipeline: Pipeline = SHOP) -> LandedPartition:
    frame = pl.DataFrame(
        {
            "sale": [i for i, _ in rows],
            "sold_at": [datetime(2024, 3, 1, 12)] * len(rows),
            "price": [p for _, p in rows],
        },
        schema={"sale": pl.Int64, "sold_at": pl.Datetime("us"), "price": pl.Float64},
    )
    arrival = Arrival(
        partition=DAY, rows=frame, uri="", sha256=str(rows), size=1, signature=str(rows), fetched_at=arrived
    )
    return land(pipeline, arrival)


def record(revision: Revision, source: str) -> PartitionRecord:
    return PartitionRecord(
        partition=DAY,
        revision=revision.number,
        content_hash=source,
        rows=revision.frame.height,
        inputs={"source": source},
        known_at=revision.known_at,
    )


def deliver_all(deliveries: list[Rows], pipeline: Pipeline = SHOP) -> dict[int, Revision]:
    """What stands after the deliveries, a day apart, each revision accepted."""
    history: dict[int, PartitionRecord] = {}
    stands: dict[int, Revision] = {}
    for number, rows in enumerate(deliveries):
        arrived = END + timedelta(days=number)
        landed = delivered(rows, arrived=arrived, pipeline=pipeline)
        place = place_of(history, {"source": str(rows)}, accepted=set(history), arrived=arrived)
        revision = revise(pipeline, landed, place, stands[place.base].frame if place.base else None)
        if revision.number not in stands:
            stands[revision.number] = revision
            history[revision.number] = record(revision, str(rows))
    return stands


def values(frame: pl.DataFrame) -> list[tuple[int, str]]:
    return sorted((i, str(price)) for i, price in frame.select("sale", "price").rows())


@given(deliveries=st.lists(ROWS, min_size=1, max_size=5))
def test_as_known_on_a_day_is_the_last_delivery_by_then(deliveries: list[Rows]) -> None:
    stands = deliver_all(deliveries)

    for number in range(len(deliveries)):
        known = [r for r in stands.values() if r.known_at <= END + timedelta(days=number)]
        last = max(known, key=lambda revision: revision.number)
        assert values(last.frame) == sorted((i, str(price)) for i, price in deliveries[number])


@given(deliveries=st.lists(ROWS, min_size=1, max_size=5))
def test_a_row_is_known_since_it_last_changed(deliveries: list[Rows]) -> None:
    """The slow way: a row keeps its time while the delivery before has one more of it."""
    stands = deliver_all(deliveries)

    known: list[tuple[tuple[int, str], datetime]] = [((i, str(p)), END) for i, p in deliveries[0]]
    before = sorted(row for row, _ in known)
    for number, rows in enumerate(deliveries[1:], 1):
        now = [(i, str(p)) for i, p in rows]
        if sorted(now) == before:
            continue
        left, held = list(known), []
        for row in now:
            match = next((old for old in left if old[0] == row), None)
            held.append(match or (row, END + timedelta(days=number)))
            if match:
                left.remove(match)
        known, before = held, sorted(now)
    last = stands[max(stands)].frame
    found = sorted(((i, str(price)), at) for i, price, at in last.select("sale", "price", "known_at").rows())
    assert found == sorted(known)


def test_the_same_rows_in_another_order_or_file_are_no_revision() -> None:
    stands = deliver_all([[(1, 1.0), (2, None)], [(2, None), (1, 1.0)]])

    assert list(stands) == [1]


def test_one_of_two_equal_rows_less_is_a_revision() -> None:
    stands = deliver_all([[(1, 1.0), (1, 1.0)], [(1, 1.0)]])

    assert {number: (r.changed, r.removed) for number, r in stands.items()} == {1: (0, 0), 2: (0, 1)}


def test_a_partition_that_was_never_accepted_has_no_past() -> None:
    broken = record(Revision(number=1, frame=pl.DataFrame(), known_at=END), "broken")

    place = place_of({1: broken}, {"source": "mended"}, accepted=(), arrived=END + timedelta(days=300))

    assert place == Place(number=2, base=None, arrived=END + timedelta(days=300))
    assert revise(SHOP, delivered([(1, 1.0)]), place, None).known_at == END


def test_a_delivery_that_could_not_be_read_makes_room_for_the_next() -> None:
    good = record(Revision(number=1, frame=pl.DataFrame(), known_at=END), "good")
    failed = replace(good, revision=2, status="blocked", inputs={})

    place = place_of({1: good, 2: failed}, {"source": "mended"}, accepted={1}, arrived=END + timedelta(days=2))

    assert (place.number, place.base, place.fresh) == (2, 1, False)


def test_a_refused_correction_is_nothing_that_the_next_is_compared_with() -> None:
    good, refused = (
        record(Revision(number=n, frame=pl.DataFrame(), known_at=END + timedelta(days=n)), f"file {n}") for n in (1, 2)
    )

    place = place_of({1: good, 2: refused}, {"source": "mended"}, accepted={1}, arrived=END + timedelta(days=9))

    assert (place.number, place.base) == (3, 1)


def test_the_right_file_again_after_a_refused_correction_is_a_revision_of_its_own() -> None:
    right, later = delivered([(1, 1.0)]), END + timedelta(days=9)
    stands = revise(SHOP, right, Place(number=1, base=None, arrived=END), None)

    next_to_it = revise(SHOP, right, Place(number=2, base=1, arrived=later), stands.frame)
    behind_a_refused_one = revise(SHOP, right, Place(number=3, base=1, arrived=later), stands.frame)

    assert (next_to_it.number, behind_a_refused_one.number) == (1, 3)
    assert behind_a_refused_one.frame.equals(stands.frame)


def test_the_newest_content_under_another_schema_is_that_revision_made_again() -> None:
    first, second = (
        record(Revision(number=n, frame=pl.DataFrame(), known_at=END + timedelta(days=n)), f"file {n}") for n in (1, 2)
    )

    place = place_of({1: first, 2: second}, {"source": "file 2"}, accepted={1, 2}, arrived=END + timedelta(days=99))

    assert place == Place(number=2, base=1, arrived=second.known_at or END, fresh=False)


def test_a_timeline_that_is_declared_since_makes_the_revision_again_and_other_readings_the_next() -> None:
    first = record(Revision(number=1, frame=pl.DataFrame(), known_at=END), "file")
    joined = replace(first, inputs={"source": "file", "timeline weather": "read"})
    later = END + timedelta(days=9)

    again = place_of({1: first}, {"source": "file", "timeline weather": "read"}, accepted={1}, arrived=later)
    other = place_of({1: joined}, {"source": "file", "timeline weather": "corrected"}, accepted={1}, arrived=later)

    assert again == Place(number=1, base=None, arrived=END, fresh=False)
    assert other == Place(number=2, base=1, arrived=later)


def test_equal_rows_of_other_bytes_are_their_base_again_with_the_columns_declared_since() -> None:
    base = delivered([(1, 1.0), (2, 2.0)]).frame
    noted = replace(
        SHOP, schema=Schema({**SHOP.schema.columns, "note": Column("string", source=col("sale").cast(str))})
    )
    later = END + timedelta(days=9)

    revision = revise(
        noted, delivered([(2, 2.0), (1, 1.0)], pipeline=noted), Place(number=2, base=1, arrived=later), base
    )

    assert (revision.number, revision.changed, revision.removed) == (1, 0, 0)
    assert revision.frame.select("sale", "note").rows() == [(2, "2"), (1, "1")]
    assert revision.frame["known_at"].unique().to_list() == [END]


def test_a_change_that_comes_too_late_is_quarantined_and_what_it_would_replace_stays() -> None:
    shop = replace(SHOP, late=Late(accept_for=days(1)))
    stands = deliver_all([[(1, 1.0), (2, 2.0)], [(1, 1.5), (2, 2.0), (3, 3.0)], [(1, 9.0), (2, 2.0)]], shop)

    split = split_rows(stands[3].frame, shop.judged, shop.time)

    assert values(split.accepted) == [(1, "1.5"), (2, "2.0"), (3, "3.0")]
    assert split.quarantined.select("sale", "price", "reason").rows() == [
        (1, 9.0, "known at most 1 d after the partition's end")
    ]
    assert stands[3].kept == 2


def test_an_event_from_the_future_is_quarantined() -> None:
    landed = delivered([(1, 1.0), (2, 2.0)]).frame.with_columns(
        event_time=pl.Series([END - timedelta(hours=1), END + timedelta(days=40)])
    )

    split = split_rows(landed, SHOP.judged, SHOP.time)

    assert split.quarantined.select("sale", "reason").rows() == [(2, "known_at not before event_time")]


@pytest.mark.parametrize(
    "held", [expect.in_partition("sold_at").warn(), expect.in_partition("sold_at", tolerance=days(4_000))]
)
def test_a_rule_that_lets_the_future_pass_does_not_stand_in_for_time(held: Expectation) -> None:
    loose = replace(SHOP, expectations=[held])
    landed = delivered([(1, 1.0)]).frame.with_columns(event_time=pl.Series([END + timedelta(days=3_000)]))

    assert split_rows(landed, loose.judged, loose.time).quarantined["reason"].to_list() == [
        "known_at not before event_time"
    ]


def test_rows_that_say_themselves_since_when_they_are_known_keep_that() -> None:
    told = replace(
        SHOP,
        time=replace(SHOP.time, row_known_at="told_at"),
        schema=Schema({**SHOP.schema.columns, "told_at": Column("datetime")}),
    )
    at, since = datetime(2024, 3, 1, 12), datetime(2024, 3, 1, 18)
    frame = pl.DataFrame({"sale": [1, 2], "sold_at": [at, at], "price": [1.0, 2.0], "told_at": [since, None]})
    arrival = Arrival(partition=DAY, rows=frame, uri="", sha256="", size=1, signature="", fetched_at=END)

    landed = land(told, arrival)

    assert landed.frame["known_at"].to_list() == [since.replace(tzinfo=UTC), END]


def test_a_row_that_says_it_was_known_before_it_happened_is_quarantined() -> None:
    told = replace(
        SHOP,
        time=replace(SHOP.time, row_known_at="told_at"),
        schema=Schema({**SHOP.schema.columns, "told_at": Column("datetime")}),
    )
    at = datetime(2024, 3, 1, 12)
    times = [at - timedelta(microseconds=1), at, at + timedelta(hours=1)]
    frame = pl.DataFrame({"sale": [1, 2, 3], "sold_at": [at] * 3, "price": [1.0] * 3, "told_at": times})
    arrival = Arrival(partition=DAY, rows=frame, uri="", sha256="", size=1, signature="", fetched_at=END)

    split = split_rows(land(told, arrival).frame, told.judged, told.time)

    assert split.accepted["sale"].to_list() == [2, 3]
    assert split.quarantined.select("sale", "reason").rows() == [(1, "known_at not before event_time")]
