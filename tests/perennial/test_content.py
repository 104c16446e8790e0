"""Content: the same rows have the same hash, whoever wrote them; other rows another."""

import io
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.content import ContentHash, content_hash

CELLS = st.tuples(
    st.one_of(st.none(), st.integers(-(2**31), 2**31)),
    st.one_of(st.none(), st.floats(width=32)),
    st.one_of(st.none(), st.text(max_size=5)),
    st.one_of(st.none(), st.booleans()),
)
SCHEMA = {"i": pl.Int64, "f": pl.Float64, "s": pl.String, "b": pl.Boolean}


def table(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@given(st.lists(CELLS, max_size=8))
def test_survives_a_round_trip_through_a_file_and_another_column_order(rows: list[tuple[object, ...]]) -> None:
    frame = table(rows)
    file = io.BytesIO()
    frame.write_parquet(file)

    file.seek(0)
    again = pl.read_parquet(file).select(reversed(frame.columns))

    assert content_hash(again) == content_hash(frame)


@given(st.lists(CELLS, min_size=1, max_size=8), st.lists(CELLS, min_size=1, max_size=8))
def test_differs_when_a_value_or_the_order_differs(
    one: list[tuple[object, ...]], two: list[tuple[object, ...]]
) -> None:
    same = table(one).equals(table(two), null_equal=True)

    assert (content_hash(table(one)) == content_hash(table(two))) == same


def test_does_not_run_texts_together() -> None:
    assert content_hash(pl.DataFrame({"s": ["ab", "c"]})) != content_hash(pl.DataFrame({"s": ["a", "bc"]}))


def test_knows_a_slice_by_its_rows_alone() -> None:
    frame = pl.DataFrame({"s": ["a", None, "b", "c"], "i": [1, 2, None, 4]})

    assert content_hash(frame[1:3]) == content_hash(pl.DataFrame({"s": [None, "b"], "i": [2, None]}))


@pytest.mark.parametrize(
    ("values", "other", "dtype"),
    [
        ([b"long enough to lie elsewhere", None, b"\x00", b""], b"wide enough to lie elsewhere", pl.Binary),
        ([Decimal("1.50"), None, Decimal("-3.25"), Decimal(0)], Decimal("1.51"), pl.Decimal(38, 2)),
        (["b", "a", None, "b"], "a", pl.Categorical),
        (["b", "a", None, "b"], "a", pl.Enum(["a", "b"])),
        ([[1], None, [], [2, 3]], [2], pl.List(pl.Int64)),
    ],
)
def test_kinds_that_sources_have_and_pipelines_have_not_are_known_by_their_values(
    values: list[object], other: object, dtype: pl.DataType
) -> None:
    column = pl.Series("x", values, dtype=dtype)
    again, parts = pl.Series("x", values[::-1], dtype=dtype).reverse(), ContentHash()
    for part in (column[:2], column[2:]):
        parts.add(part.to_frame())

    assert content_hash(again.to_frame()) == content_hash(column.to_frame()) == parts.hexdigest()
    filled = [other if value is None else value for value in values]
    for changed in ([other, *values[1:]], filled, [*values[:2], *values[:1:-1]]):
        assert content_hash(pl.Series("x", changed, dtype=dtype).to_frame()) != content_hash(column.to_frame())


def test_leaves_out_what_is_only_provenance() -> None:
    frame = pl.DataFrame({"a": [1], "landed_at": ["today"]})

    assert content_hash(frame, leave_out=["landed_at"]) == content_hash(frame.drop("landed_at"))


@given(st.lists(CELLS, max_size=8), st.integers(1, 4))
def test_does_not_depend_on_the_parts_in_which_rows_come(rows: list[tuple[object, ...]], size: int) -> None:
    frame, content = table(rows), ContentHash()
    for part in frame.iter_slices(size) if rows else [frame]:
        content.add(part)

    assert content.hexdigest() == content_hash(frame)
