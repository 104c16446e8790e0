"""Partials: what parts of a partition add up to is what the whole partition gives."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.featurization.partials import add_partials, partial_rows, partial_schema
from tests.perennial.featurization.test_point_in_time import rows_of
from tests.perennial.featurization.timelines import MONTHS, RIDES, frame_of

KEY = "2024-03-25"


@given(
    rows=st.lists(rows_of(RIDES, KEY), max_size=12), cuts=st.lists(st.integers(0, 12), max_size=3), large=st.booleans()
)
@settings(max_examples=40, deadline=None)
def test_partials_of_parts_add_up_to_those_of_the_whole(rows: list[Any], cuts: list[int], large: bool) -> None:
    whole = frame_of(RIDES, KEY, tuple(rows))
    if large:  # only one part holds numbers that need a further limb
        scale = pl.when(pl.int_range(pl.len()) == 0).then(2.0**20).otherwise(1.0)
        whole = whole.with_columns(pl.col("load") * scale)
    ends = sorted({0, whole.height, *(min(cut, whole.height) for cut in cuts)})
    parts = [whole[first:last] for first, last in pairwise(ends)]

    found = add_partials((partial_rows(part, RIDES) for part in parts), RIDES)

    assert found.equals(partial_rows(whole, RIDES))


def test_parts_without_a_row_add_nothing() -> None:
    blank = frame_of(MONTHS, "2024-03", ())

    assert add_partials([], MONTHS).schema == partial_schema(MONTHS)
    assert add_partials([partial_rows(blank, MONTHS)] * 2, MONTHS).is_empty()
