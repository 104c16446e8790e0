from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.bundle.parity import UNSEEN, compare, golden_rows
from perennial.errors import PerennialError
from perennial.featurization.expressions import declare_features
from perennial.schema import Column, Schema

SCHEMA = Schema(
    {
        "at": Column("datetime"),
        "zone": Column("string"),
        "weather": Column("string", nullable=True),
        "pickup": Column("int32"),
        "dropoff": Column("int32"),
        "distance": Column("float64", nullable=True),
        "express": Column("bool"),
    }
)


def frame(rows: int, seed: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    start = datetime(2024, 2, 28)
    return pl.DataFrame(
        {
            "at": [start + timedelta(minutes=int(m)) for m in draw.integers(0, 10_000, rows)],
            "zone": [f"zone {z}" for z in draw.zipf(1.5, rows) % 50],
            "weather": [("dry", "rain", None)[i] for i in draw.integers(0, 3, rows)],
            "pickup": draw.integers(1, 265, rows),
            "dropoff": draw.integers(1, 265, rows),
            "distance": draw.gamma(2, 2, rows),
            "express": draw.random(rows) < 0.5,
        },
        schema_overrides=SCHEMA.polars,
    )


@given(rows=st.integers(1, 300), seed=st.integers(0, 5), wanted=st.integers(1, 600))
def test_golden_rows_exercise_every_corner(rows, seed, wanted):
    raw = frame(rows, seed)

    golden = golden_rows(raw, SCHEMA, seed=seed, rows=wanted)

    assert golden.schema == raw.schema
    assert golden.height >= wanted
    assert set(raw["zone"]) | {UNSEEN, ""} <= set(golden["zone"])
    assert set(raw["weather"].drop_nulls()) | {UNSEEN, None} <= set(golden["weather"])
    assert golden["distance"].null_count()
    assert {True, False} == set(golden["express"])
    for name in ("at", "pickup", "distance"):
        held = golden[name].drop_nulls()
        assert min(held) == min(raw[name])
        assert max(held) >= max(raw[name])
    assert max(raw["pickup"]) + 1 in golden["pickup"]


@given(seed=st.integers(0, 5))
def test_golden_rows_are_requests_that_the_schema_allows(seed):
    raw = frame(80, seed).with_columns(
        zone=pl.when(pl.col("pickup") % 3 == 0).then(None).otherwise("zone"),
        distance=pl.when(pl.col("pickup") % 3 == 1).then(float("inf")).otherwise("distance"),
    )

    golden = golden_rows(raw, SCHEMA, seed=seed)

    for name, column in SCHEMA.columns.items():
        assert column.nullable or not golden[name].null_count()
    assert golden["distance"].drop_nulls().is_finite().all()


def test_golden_rows_hold_each_category_of_a_feature_made_from_numbers():
    raw = frame(200)
    pair = pl.concat_str(pl.col("pickup").cast(pl.String), pl.lit("-"), pl.col("dropoff").cast(pl.String))
    features = declare_features([pair.alias("pair")], SCHEMA.polars, where="test")

    golden = golden_rows(raw, SCHEMA, features=features, rows=1)

    assert set(raw.select(pair).to_series()) <= set(golden.select(pair).to_series())


def test_only_the_most_frequent_of_very_many_categories_have_a_golden_row():
    raw = pl.concat([pl.DataFrame({"zone": [f"{i}" for i in range(1_000)]}), pl.DataFrame({"zone": ["often"] * 9})])

    golden = golden_rows(raw, SCHEMA, rows=10, categories=20)

    assert golden.height == 10 + 2 + 20
    assert "often" in golden["zone"]


@given(seed=st.integers(0, 20))
def test_equal_input_gives_equal_golden_rows(seed):
    raw = frame(60)

    assert golden_rows(raw, SCHEMA, seed=seed).equals(golden_rows(raw, SCHEMA, seed=seed))


def test_no_row_that_a_request_could_carry_is_an_error():
    raw = frame(3).with_columns(zone=pl.lit(None, pl.String))

    with pytest.raises(PerennialError, match="found 3 rows, each with a null"):
        golden_rows(raw, SCHEMA)


answers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50).map(np.array)


@given(reference=answers, tolerance=st.sampled_from([1e-6, 1e-4]), share=st.floats(0, 3))
def test_within_means_no_further_than_the_tolerance(reference, tolerance, share):
    other = reference.copy()
    other[-1] += share * tolerance * (1 + abs(reference[-1]))

    result = compare(reference, other, tolerance=tolerance)

    if abs(share - 1) > 1e-3:
        assert result.within == (share < 1)
    assert result.rows == len(reference)


@given(reference=answers, broken=st.sampled_from([float("nan"), float("inf")]), place=st.integers(0, 49))
def test_an_answer_that_is_no_number_is_never_within(reference, broken, place):
    other = reference.copy()
    other[place % len(other)] = broken

    assert not compare(reference, other).within
    assert not compare(other, reference).within
    assert not compare(other, other).within


def test_a_missing_answer_is_never_within():
    assert not compare(np.arange(3.0), np.arange(2.0)).within
    assert not compare(np.array([]), np.array([])).within
