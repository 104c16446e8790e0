"""Screening: what Great Expectations finds among the suspects is what it finds among all rows."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import Daily, expect
from perennial.validation.screening import suspects
from perennial.validation.suites import _distinct, partition_windows, row_claim, unexpected_rows, unique_claim, validate

DAY = "2024-03-01"
CALENDAR = Daily(start=DAY, event_time="at")
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "number": pl.Float64,
    "count": pl.Int64,
    "text": pl.String,
    "at": pl.Datetime("us"),
    "done": pl.Datetime("us"),
}
TIMES = st.one_of(st.none(), st.datetimes(datetime(2024, 2, 29, 12), datetime(2024, 3, 2, 12)))
ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.0, 2.5, 3.0, float("nan"), float("inf")])),
        st.one_of(st.none(), st.integers(-2, 5)),
        st.one_of(st.none(), st.sampled_from(["a", "b", "", "B"])),
        TIMES,
        TIMES,
    ),
    min_size=1,
    max_size=12,
)
DECLARED = [
    expect.not_null("number"),
    expect.not_null("text"),
    expect.between("number", 0, 3, strict_low=True),
    expect.between("count", None, 3),
    expect.between("count", 0),
    expect.between("at", "2024-03-01T00:00:00", "2024-03-01T12:00:00"),
    expect.in_set("text", ["a", "b"]),
    expect.in_set("count", [1, 2]),
    expect.matches("text", "^[ab]$"),
    expect.after("done", "at"),
    expect.after("done", "at", by=(timedelta(0), timedelta(hours=3))),
    expect.in_partition("at"),
    expect.unique("count", "text"),
]


@settings(max_examples=15)
@given(rows=ROWS)
def test_a_screen_misses_no_row_that_fails(rows: list[tuple[object, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").with_columns(partition=pl.lit(DAY))
    windows = partition_windows(frame["partition"], CALENDAR)
    claims = [unique_claim(e) if e.kind == "unique" else row_claim(e, frame.schema, windows) for e in DECLARED]

    found = unexpected_rows(frame, claims)

    whole = validate(frame, claims).results
    for claim, rows_of, result in zip(claims, found, whole, strict=True):
        expected = np.unique(np.asarray(result.result["unexpected_index_list"], dtype=np.int64))
        assert rows_of.tolist() == expected.tolist(), claim.declared.claim


def test_rows_that_hold_are_not_shown_to_great_expectations() -> None:
    frame = pl.DataFrame({"number": [1.0, 2.0, 9.0], "partition": [DAY] * 3})
    windows = partition_windows(frame["partition"], CALENDAR)
    claims = [row_claim(expect.between("number", 0, high), frame.schema, windows) for high in (3, 9)]

    masks = suspects(frame.select(_distinct(claims)), claims)

    assert [mask.arg_true().to_list() for mask in masks] == [[2], []]
