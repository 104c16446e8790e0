"""Casting: a cast that loses nothing is made and noted; anything else stops the partition."""

import math
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.casting import cast_partition, declared_column
from perennial.errors import SchemaSkew
from perennial.schema import Column, Kind, Schema
from perennial.stores.sources.sql import _plain

ZONES = Schema({"zone": Column("int32", source="PULocationID"), "fee": Column("float64")})


def frame(**columns: object) -> pl.DataFrame:
    return pl.DataFrame({"PULocationID": [1, 2], "fee": [0.5, None]} | columns)


def test_notes_a_cast_that_loses_nothing() -> None:
    cast = cast_partition(frame(fee=pl.Series([None, None], dtype=pl.Null)), ZONES, where="taxi 2023-01")

    assert cast.frame.schema == pl.Schema({"zone": pl.Int32, "fee": pl.Float64})
    assert cast.notes == ("zone: int64 to int32", "fee: null to float64")


def test_has_nothing_to_note_when_types_match() -> None:
    rows = frame().with_columns(pl.col("PULocationID").cast(pl.Int32))

    assert cast_partition(rows, ZONES, where="taxi").notes == ()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (frame().drop("fee"), ["'fee' is missing", "PULocationID"]),
        (frame(extra=[1, 2]), ["'extra' is not declared", "allow_additional"]),
        (frame(PULocationID=["Newark", "1"]), ["'zone' has another type", "string", "'Newark'", "int32"]),
        (frame(PULocationID=[1.5, 2.0]), ["'zone' holds 1.5 (row 0)", "float64", "int32"]),
        (frame(PULocationID=[1, 2**40]), ["'zone' holds 1099511627776 (row 1)"]),
        (frame(fee=[2**63 - 1, None]), ["'fee' holds 9223372036854775807 (row 0)", "int64", "float64"]),
        (frame(PULocationID=[1.0, math.nan]), ["'zone' holds nan (row 1)"]),
        (frame(fee=[datetime(2023, 1, 1), None]), ["'fee' has another type", "datetime"]),
    ],
)
def test_stops_what_does_not_fit_and_says_where(rows: pl.DataFrame, words: list[str]) -> None:
    with pytest.raises(SchemaSkew) as caught:
        cast_partition(rows, ZONES, where="taxi 2023-02")

    for word in ["taxi 2023-02", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "column", "is_text"),
    [
        (pl.DataFrame({"phone": ["088171 555"]}), Column("int64"), False),
        (pl.DataFrame({"phone": ["088171 555"]}), Column("int64"), True),
        (pl.DataFrame({"phone": ["088171 555"]}), Column("datetime"), True),
        (pl.DataFrame({"phone": [88171555.5]}), Column("int64"), False),
        (pl.DataFrame({"phone": ["088171 555"]}), Column("int64", source=pl.col("phone").cast(pl.Int64)), False),
    ],
)
def test_no_message_tells_a_value_of_personal_data(rows: pl.DataFrame, column: Column, is_text: bool) -> None:
    def told(column: Column) -> str:
        with pytest.raises(SchemaSkew) as caught:
            cast_partition(rows, Schema({"phone": column}), where="calls 2024-01", is_text=is_text)
        return "".join(traceback.format_exception(caught.value))

    assert "88171" in told(column)
    hidden = told(replace(column, pii=True))
    assert "88171" not in hidden  # longer than any line number of the traceback
    assert "hidden" in hidden


def test_drops_and_notes_additional_columns_where_that_is_declared() -> None:
    tolerant = Schema(ZONES.columns, allow_additional=True)

    cast = cast_partition(frame(extra=[1, 2]), tolerant, where="taxi")

    assert cast.frame.columns == ["zone", "fee"]
    assert "extra: not declared, dropped" in cast.notes


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=20))
def test_an_integer_lands_unchanged_or_not_at_all(values: list[int | None]) -> None:
    rows = pl.DataFrame({"zone": pl.Series(values, dtype=pl.Int64)})
    schema = Schema({"zone": Column("int32")})
    fits = all(value is None or -(2**31) <= value < 2**31 for value in values)

    if fits:
        assert cast_partition(rows, schema, where="x").frame["zone"].to_list() == values
    else:
        with pytest.raises(SchemaSkew):
            cast_partition(rows, schema, where="x")


@given(st.lists(st.one_of(st.none(), st.floats()), min_size=1, max_size=20))
def test_a_float_declared_an_integer_lands_only_when_whole(values: list[float | None]) -> None:
    rows = pl.DataFrame({"n": pl.Series(values, dtype=pl.Float64)})
    whole = all(
        value is None or (math.isfinite(value) and value.is_integer() and abs(value) < 2**63) for value in values
    )

    try:
        landed = cast_partition(rows, Schema({"n": Column("int64")}), where="x").frame["n"].to_list()
    except SchemaSkew:
        assert not whole
    else:
        assert whole
        assert landed == values


BOOKED = Schema(
    {
        "guests": Column("int32"),
        "price": Column("float64", source="adr"),
        "cancelled": Column("bool"),
        "booked_on": Column(
            "datetime", source=pl.col("day").str.to_datetime("%Y-%B-%d") - pl.duration(days=pl.col("guests"))
        ),
    },
    allow_additional=True,
)


def texts(**columns: object) -> pl.DataFrame:
    rows = {"guests": ["2", " 007 "], "adr": ["75.50", None], "cancelled": ["0", "True"]}
    return pl.DataFrame(rows | {"day": ["2015-July-3", "2016-May-31"], "note": ["x", "y"]} | columns)


def test_text_is_read_as_what_is_declared_and_a_column_is_computed_from_others() -> None:
    cast = cast_partition(texts(), BOOKED, where="hotel", is_text=True)

    assert cast.frame.schema == BOOKED.polars
    assert cast.frame.rows() == [(2, 75.5, False, datetime(2015, 7, 1)), (7, None, True, datetime(2016, 5, 24))]
    assert "note: not declared, dropped" in cast.notes


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (texts(guests=["2", "two"]), ["'guests' holds 'two' (row 1)", "int32", "null_values"]),
        (texts(guests=["2", "2.5"]), ["'guests' holds '2.5' (row 1)", "int32"]),
        (texts(guests=["2", "1e-400"]), ["'guests' holds '1e-400' (row 1)"]),
        (texts(guests=["2", "4503599627370497.5"]), ["'guests' holds '4503599627370497.5' (row 1)"]),
        (texts(adr=["1e400", None]), ["'price' holds '1e400' (row 0)", "float64"]),
        (texts(guests=["2", str(2**31)]), ["'guests' holds 2147483648 (row 1)"]),
        (texts(cancelled=["no", "1"]), ["'cancelled' holds 'no' (row 0)", "bool"]),
        (texts(day=["2015-July-3", "31.5.2016"]), ["'booked_on' cannot be computed", "31.5.2016"]),
        (texts(adr=["x" * 1_000_000, None]), ["(1,000,002 characters)"]),
        (texts().drop("day"), ["'day' is missing"]),
    ],
)
def test_text_that_is_not_what_is_declared_stops_the_partition(rows: pl.DataFrame, words: list[str]) -> None:
    with pytest.raises(SchemaSkew) as caught:
        cast_partition(rows, BOOKED, where="hotel 2016-05", is_text=True)

    assert len(str(caught.value)) < 1_000
    for word in ["hotel 2016-05", *words]:
        assert word in str(caught.value)


def read(kind: Kind, *words: str) -> list[Any]:
    """What `words` of a CSV column are read as."""
    rows = pl.DataFrame({"n": words}, schema={"n": pl.String})
    return cast_partition(rows, Schema({"n": Column(kind)}), where="x", is_text=True).frame["n"].to_list()


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=9), st.data())
def test_a_written_integer_is_read_to_the_last_digit_however_its_neighbours_are_written(
    values: list[int], data: st.DataObject
) -> None:
    words = [data.draw(st.sampled_from([f"{value}", f"{value}.0", f" {value}.00 "])) for value in values]

    assert read("int64", *words) == values


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_written_number_declared_an_integer_is_that_integer_or_refused(number: Decimal) -> None:
    for word in (f"{number}", f"{number:e}"):
        try:
            (landed,) = read("int64", word)
        except SchemaSkew:
            continue
        assert Decimal(landed) == Decimal(word)


def test_an_integer_with_an_exponent_as_spreadsheets_write_it_is_read() -> None:
    assert read("int32", "1e+05", "1.5E3", "-2e0", "7") == [100_000, 1_500, -2, 7]


@given(st.floats(width=64, allow_nan=False, allow_infinity=False))
def test_a_decimal_text_is_read_as_the_float_next_to_it(number: float) -> None:
    import numpy as np

    with np.errstate(over="ignore"):
        small = np.float32(repr(number))

    assert read("float64", repr(number)) == [number]
    if np.isfinite(small):
        assert read("float32", repr(number)) == [float(small)]
    else:
        with pytest.raises(SchemaSkew, match=r"that do not fit, found text, expected float32"):
            read("float32", repr(number))


@given(st.floats(width=64))
def test_a_float_is_read_as_the_same_small_one_from_text_and_typed(number: float) -> None:
    def told(rows: pl.DataFrame, *, is_text: bool) -> list[Any] | str:
        try:
            cast = cast_partition(rows, Schema({"n": Column("float32")}), where="x", is_text=is_text)
        except SchemaSkew:
            return "too large"
        return [str(value) for value in cast.frame["n"]]

    text, typed = pl.DataFrame({"n": [repr(number)]}), pl.DataFrame({"n": [number]})

    assert told(text, is_text=True) == told(typed, is_text=False)


def test_a_column_that_is_read_twice_is_read_once_from_text_and_another_kind_of_it_is_computed() -> None:
    columns = {
        "zone": Column("int32", source="z"),
        "again": Column("int32", source="z"),
        "code": Column("string", source="c"),
        "number": Column("int64", source=pl.col("c").cast(int)),
    }

    cast = cast_partition(pl.DataFrame({"z": ["7"], "c": ["007"]}), Schema(columns), where="x", is_text=True)

    assert cast.frame.rows() == [(7, 7, "007", 7)]


def test_a_tenth_fits_a_small_float_as_text_and_what_is_said_to_be_infinite_stays_so() -> None:
    assert read("float32", "0.1", "-inf") == [0.10000000149011612, -math.inf]
    assert math.isnan(read("float64", "nan")[0])


def test_a_time_in_text_needs_its_format_declared() -> None:
    for is_text in (True, False):  # as from CSV, and as from JSON lines
        for text, form in (("2015-07-01", "%Y-%m-%d"), ("2015-07-01T08:00:00.5+02:00", r"%\+")):
            with pytest.raises(SchemaSkew, match=rf"'at' is text, found '2015-07-01.*to_datetime\(\"{form}\"\)"):
                cast_partition(pl.DataFrame({"at": [text]}), AT, where="x", is_text=is_text)


AT = Schema({"at": Column("datetime")})
ISO = Schema({"at": Column("datetime", source=pl.col("at").str.to_datetime("%+"))})
SUMMER, SECOND_PASS = datetime(2024, 7, 1, 22, 30, tzinfo=UTC), datetime(2024, 10, 27, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_time_with_an_offset_becomes_the_wall_clock_of_the_pipeline(unit: Literal["ms", "us", "ns"]) -> None:
    rows = pl.DataFrame({"at": pl.Series([SUMMER, None, SECOND_PASS], dtype=pl.Datetime(unit, "UTC"))})

    cast = cast_partition(rows, AT, where="x", timezone="Europe/Berlin")
    column = declared_column(rows, AT, "at", where="x", timezone="Europe/Berlin")

    assert cast.frame["at"].to_list() == [datetime(2024, 7, 2, 0, 30), None, datetime(2024, 10, 27, 2, 30)]
    assert cast.notes[0].endswith(", the wall clock of Europe/Berlin")
    assert column.to_list() == cast.frame["at"].to_list()


@pytest.mark.parametrize("is_text", [True, False])
def test_iso_text_is_read_on_the_same_clock_whatever_its_offset(*, is_text: bool) -> None:
    rows = pl.DataFrame({"at": ["2024-07-01T22:30:00Z", "2024-07-01T15:30:00.000-07:00", "2024-07-02T00:30:00+0200"]})

    cast = cast_partition(rows, ISO, where="x", is_text=is_text, timezone="Europe/Berlin")

    assert cast.frame["at"].to_list() == [datetime(2024, 7, 2, 0, 30)] * 3


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo"])
)
def test_a_file_a_database_and_a_pushed_event_say_the_same_time(at: datetime, zone: str) -> None:
    instant = at.replace(tzinfo=UTC)
    rows = pl.DataFrame({"at": pl.Series([instant], dtype=pl.Datetime("us", "UTC"))})

    landed = cast_partition(rows, AT, where="x", timezone=zone).frame["at"].to_list()

    assert landed == [_plain(instant, ZoneInfo(zone))]


def test_a_time_with_an_offset_does_not_fit_where_no_clock_is_told() -> None:
    with pytest.raises(SchemaSkew, match="'at' has another type"):
        cast_partition(pl.DataFrame({"at": [SUMMER]}), AT, where="x")


def test_text_in_a_typed_file_stays_another_type() -> None:
    with pytest.raises(SchemaSkew, match="'guests' has another type"):
        cast_partition(texts(), BOOKED, where="hotel")


def test_one_declared_column_is_read_whatever_the_others_hold() -> None:
    rows = texts(adr=["free", "free"])

    column = declared_column(rows, BOOKED, "booked_on", where="x", is_text=True)

    assert column.to_list() == [datetime(2015, 7, 1), datetime(2016, 5, 24)]
    with pytest.raises(SchemaSkew, match="'day' is missing"):
        declared_column(rows.drop("day"), BOOKED, "booked_on", where="x", is_text=True)
