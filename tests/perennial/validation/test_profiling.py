from __future__ import annotations

import math
import struct
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.schema import Column, Schema
from perennial.validation.profiling import BINS, PROFILE_SCHEMA, TOP, histogram_picture, profile_partitions, summary_row

FRAME: dict[str, Any] = {
    "partition": pl.String,
    "distance": pl.Float64,
    "seats": pl.Int32,
    "kind": pl.String,
    "rain": pl.Boolean,
    "at": pl.Datetime("us"),
}
NOON = datetime(2024, 3, 1, 12)
PNG = b"\x89PNG\r\n\x1a\n"

rows = st.fixed_dictionaries(
    {
        "partition": st.sampled_from(["2024-03-01", "2024-03-02"]),
        "distance": st.none() | st.just(math.nan) | st.just(math.inf) | st.floats(-1e6, 1e6),
        "seats": st.none() | st.integers(1, 14),
        "kind": st.none() | st.sampled_from(["car", "bike", ""]),
        "rain": st.none() | st.booleans(),
        "at": st.none() | st.datetimes(datetime(2024, 2, 29), datetime(2024, 3, 3)),
    }
)
frames = st.lists(rows, max_size=40).map(lambda found: pl.DataFrame(found, schema=FRAME))


def row_of(profile: pl.DataFrame, column: str) -> dict[str, Any]:
    return profile.row(by_predicate=pl.col("column") == column, named=True)


def day(height: int = 300) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "partition": ["2024-03-01"] * height,
            "order_id": [f"o{i}" for i in range(height)],
            "distance": [0.1 * (i % 37) for i in range(height)],
            "kind": [["car", "bike", "scooter"][i % 3] for i in range(height)],
            "rain": [None if i % 4 == 0 else i % 3 == 0 for i in range(height)],
            "at": [NOON + timedelta(minutes=i) for i in range(height)],
            "tip": pl.Series([None] * height, dtype=pl.Float64),
        }
    )


@given(frame=frames)
@settings(max_examples=40)
def test_a_profile_counts_every_value_of_every_partition_once(frame: pl.DataFrame) -> None:
    profile = profile_partitions(frame)

    assert profile.schema == PROFILE_SCHEMA
    assert profile.height == frame["partition"].n_unique() * 5
    for row in profile.iter_rows(named=True):
        values = frame.filter(pl.col("partition") == row["partition"])[row["column"]].to_list()
        real = [v for v in values if v is not None and not (isinstance(v, float) and not math.isfinite(v))]
        assert (row["count"], row["nulls"], row["distinct"]) == (len(values), len(values) - len(real), len(set(real)))
        if row["counts"] is not None:
            assert sum(row["counts"]) == len(real)
            assert len(row["edges"]) == len(row["counts"]) + 1 == BINS + 1
            assert row["edges"] == sorted(row["edges"])
        if row["top"] is not None:
            shown = [real.count(v) for v in set(real)]
            assert [item["count"] for item in row["top"]] == sorted(shown, reverse=True)[:TOP]


@given(frame=frames)
@settings(max_examples=25)
def test_statistics_are_those_of_the_partition_alone(frame: pl.DataFrame) -> None:
    profile = profile_partitions(frame)

    for (key,), part in frame.group_by("partition"):
        alone = profile_partitions(part)
        assert alone.equals(profile.filter(pl.col("partition") == key))
        values = part["distance"].filter(part["distance"].is_finite())
        row = row_of(alone, "distance")
        assert (row["min"], row["max"]) == (values.min(), values.max())
        assert row["mean"] == (None if values.is_empty() else pytest.approx(values.mean()))
        assert row["p50"] == (None if values.is_empty() else pytest.approx(values.median()))


def test_one_outlier_does_not_hide_the_histogram() -> None:
    frame = pl.DataFrame({"partition": ["p"] * 1000, "x": [*(float(i % 100) for i in range(999)), 1e9]})

    row = profile_partitions(frame).row(0, named=True)

    assert row["max"] == 1e9
    assert row["edges"][-1] <= 100
    assert sum(row["counts"]) == 1000
    assert all(row["counts"])


def test_a_constant_has_one_bin() -> None:
    row = profile_partitions(pl.DataFrame({"partition": ["p"] * 3, "x": [5.0] * 3})).row(0, named=True)

    assert sorted(row["counts"])[-2:] == [0, 3]
    assert row["edges"][0] < 5 < row["edges"][-1]


def test_times_are_seconds_on_their_own_clock() -> None:
    row = row_of(profile_partitions(day()), "at")

    assert (datetime(1970, 1, 1) + timedelta(seconds=row["min"])) == NOON


def test_a_person_reads_quantiles_times_as_times_and_the_most_frequent_values() -> None:
    profile = profile_partitions(day())

    distance, kind, at = (summary_row(row_of(profile, name)) for name in ("distance", "kind", "at"))

    assert distance["p05"] < distance["p50"] < distance["p95"] < distance["max"]
    assert (kind["distinct"], kind["most frequent"]) == (3, "bike 33%, car 33%, scooter 33%")
    assert at["min"].replace(tzinfo=None) == NOON
    assert summary_row(row_of(profile, "tip"))["most frequent"] == ""


def test_personal_data_is_counted_and_never_shown() -> None:
    schema = Schema({"order_id": Column("string", pii=True), "distance": Column("float64", unit="km", pii=True)})

    profile = profile_partitions(day(), schema)

    assert profile["column"].to_list() == ["order_id", "distance"]
    assert profile["count"].to_list() == [300, 300]
    assert profile["unit"].to_list() == [None, "km"]
    for shown in ("top", "min", "max", "p50", "edges", "counts"):
        assert profile[shown].null_count() == 2
    assert summary_row(row_of(profile, "order_id"))["most frequent"] == ""


def test_the_same_rows_in_another_order_have_the_same_profile() -> None:
    assert profile_partitions(day()).equals(profile_partitions(day().sample(fraction=1, shuffle=True, seed=3)))


def test_no_rows_have_an_empty_profile() -> None:
    assert profile_partitions(day(0)).schema == PROFILE_SCHEMA
    assert profile_partitions(day(0)).is_empty()


def size_of(picture: bytes) -> tuple[int, int]:
    assert picture.startswith(PNG)
    return struct.unpack(">II", picture[16:24])


@pytest.mark.parametrize("height", [1, 2, 300])
def test_a_picture_is_a_small_png_whatever_the_rows(height: int) -> None:
    picture = histogram_picture(profile_partitions(day(height)))

    width, tall = size_of(picture)
    assert width <= 1000
    assert tall <= 600
    assert len(picture) < 60_000


def test_a_picture_of_nothing_is_a_picture() -> None:
    assert size_of(histogram_picture(profile_partitions(day(0))))
    assert size_of(histogram_picture(profile_partitions(day().select("partition", "tip"))))


def test_many_columns_still_fit_into_one_small_picture() -> None:
    wide = day().with_columns((pl.col("distance") * i).alias(f"a rather long name of a column, {i}") for i in range(30))

    picture = histogram_picture(profile_partitions(wide))

    assert size_of(picture)[1] <= 950
    assert len(picture) < 120_000
