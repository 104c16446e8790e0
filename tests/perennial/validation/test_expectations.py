"""Expectations: each reads as a plain sentence, and tells itself apart from others."""

from __future__ import annotations

import doctest
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.validation import expectations
from perennial.validation.expectations import (
    Expectation,
    after,
    between,
    in_partition,
    in_set,
    matches,
    mean_between,
    not_null,
    quarantined_share,
    rows_between,
    share_not_null,
    unique,
)

HOURS = timedelta(hours=1)


@pytest.mark.parametrize(
    ("expectation", "claim"),
    [
        (not_null("zone"), "zone is not null"),
        (between("distance_km", 0, 30, strict_low=True), "distance_km above 0, at most 30"),
        (between("items", 1, 50), "items from 1 to 50"),
        (between("fare", 0, 1_000.5), "fare from 0 to 1,000.5"),
        (between("fare", low=2), "fare at least 2"),
        (between("at", high="2024-01-01"), "at at most 2024-01-01"),
        (in_set("weather", ["dry", "rain"]), "weather one of dry, rain"),
        (matches("code", "^[A-Z]+$"), "code matches ^[A-Z]+$"),
        (after("delivered_at", "ordered_at"), "delivered_at after ordered_at"),
        (
            after("delivered_at", "ordered_at", by=(HOURS / 5, 4 * HOURS)),
            "delivered_at 12 min to 4 h after ordered_at",
        ),
        (in_partition("ordered_at"), "ordered_at within its partition"),
        (in_partition("ordered_at", tolerance=1.5 * HOURS), "ordered_at within its partition, give or take 1 h 30 min"),
        (rows_between(100, 2_000), "accepted rows from 100 to 2,000"),
        (rows_between(low=1), "accepted rows at least 1"),
        (unique("vendor", "pickup_at"), "no two rows share vendor and pickup_at"),
        (mean_between("distance", 2, 3), "mean of distance from 2 to 3"),
        (share_not_null("temperature_c", 0.5), "temperature_c is not null in at least 50 % of the rows"),
        (quarantined_share(0.125), "at most 12.5 % of landed rows quarantined"),
    ],
    ids=lambda value: value.kind if isinstance(value, Expectation) else "",
)
def test_an_expectation_reads_as_a_claim(expectation: Expectation, claim: str) -> None:
    assert expectation.claim == claim
    assert expectation.warn().claim == claim


limits = st.integers(-(10**6), 10**6)


@given(first=st.tuples(limits, limits, st.booleans()), second=st.tuples(limits, limits, st.booleans()))
def test_ranges_that_differ_read_differently(first: tuple[int, int, bool], second: tuple[int, int, bool]) -> None:
    claims = {between("x", low, high, strict_low=strict).claim for low, high, strict in (first, second)}

    assert len(claims) == len({first, second})


@given(spans=st.lists(st.integers(1, 10**6), min_size=2, max_size=2, unique=True))
def test_spans_that_differ_read_differently(spans: list[int]) -> None:
    claims = {in_partition("at", tolerance=timedelta(seconds=span)).claim for span in spans}

    assert len(claims) == 2


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(expectations).failed == 0
