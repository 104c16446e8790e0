"""Exact sums: the same whatever the order, as near to the true sum as a float can be."""

import math
from collections.abc import Sequence
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.featurization.exact import limb_names, limbs_of, total_of

numbers = st.lists(st.floats(-1e12, 1e12, allow_nan=False) | st.floats(-1, 1, allow_nan=False), max_size=30)


def total(values: Sequence[float | None]) -> float:
    frame = pl.DataFrame({"x": values}, schema={"x": pl.Float64})
    sums = frame.select(limbs_of(pl.col("x"), "x")).select(pl.col(limb_names("x")).sum())
    return float(sums.select(total_of("x")).item())


@given(values=numbers, seed=st.randoms(use_true_random=False))
def test_the_order_of_the_terms_changes_no_bit(values: list[float], seed: Random) -> None:
    shuffled = sorted(values, key=lambda _: seed.random())

    assert total(list(values)) == total(list(shuffled))


@given(values=numbers)
def test_it_is_the_true_sum_but_for_steps_of_two_to_the_minus_32(values: list[float]) -> None:
    assert total(list(values)) == pytest.approx(math.fsum(values), rel=1e-15, abs=len(values) * 2**-32)


@given(values=numbers, gone=st.integers(0, 30))
def test_what_was_added_can_be_taken_away_again(values: list[float], gone: int) -> None:
    columns = limb_names("x")
    frame = pl.DataFrame({"x": values}, schema={"x": pl.Float64}).select(limbs_of(pl.col("x"), "x"))

    rest = frame.sum() - frame.head(gone).sum()

    assert rest.select(total_of("x")).item() == total(list(values[gone:]))
    assert rest.columns == columns


def test_a_null_counts_nothing() -> None:
    assert total([1.5, None, -0.25]) == 1.25
