"""Expectations: each reads as a plain sentence, and tells itself apart from others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.declaration import Pipeline
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
from perennial.validation.verdicts import Split, judge_partitions, split_rows
from pipelines.delivery_eta import delivery_eta
from tests.perennial.validation.days import day

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


BARE = replace(delivery_eta, expectations=[])


def split_of(pipeline: Pipeline, *changes: pl.Expr) -> Split:
    """One simulated day, changed after it was read, as validation divides it."""
    known = pl.lit(datetime(2025, 1, 1, tzinfo=UTC))
    landed = day(0).with_columns(*changes).with_columns(event_time=pipeline.time.utc("ordered_at"), known_at=known)
    return split_rows(landed, pipeline.judged, pipeline.time)


def first_without(column: str, rows: int) -> pl.Expr:
    return pl.when(pl.int_range(pl.len()) < rows).then(None).otherwise(column).alias(column)


@pytest.mark.parametrize("column", ["order_id", "ordered_at"])
def test_a_row_without_its_key_or_its_time_is_quarantined_under_that_name_though_nobody_declared_it(
    column: str,
) -> None:
    split = split_of(BARE, first_without(column, 5))

    assert split.quarantined["reason"].to_list() == [f"{column} is not null"] * 5
    assert split.accepted[column].null_count() == 0
    assert split.accepted.height + 5 == day(0).height


def test_every_column_of_a_key_is_demanded_once_and_only_a_warning_does_not_stand_in_for_it() -> None:
    wide = replace(BARE, key=["order_id", "ordered_at"])
    declared, warned = (
        replace(wide, expectations=[rule]) for rule in (not_null("order_id"), not_null("order_id").warn())
    )

    demanded = [[e for e in each.judged if e.kind == "not_null"] for each in (wide, declared, warned)]

    assert {e.columns for e in demanded[0]} == {("order_id",), ("ordered_at",)}
    assert [len(each) for each in demanded] == [2, 2, 3]


def test_a_row_is_demanded_to_be_known_after_it_happened_unless_a_rule_says_so_for_the_whole_partition() -> None:
    within = replace(BARE, expectations=[in_partition("ordered_at")])
    by_row = replace(within, time=replace(BARE.time, row_known_at="ordered_at"))
    of_another, warned = (
        replace(BARE, expectations=[rule]) for rule in (in_partition("delivered_at"), in_partition("ordered_at").warn())
    )

    demanded = [
        [e.columns for e in each.judged if e.kind == "after"] for each in (BARE, within, by_row, of_another, warned)
    ]

    said = [("known_at", "event_time")]
    assert demanded == [said, [], said, said, said]


@pytest.mark.parametrize(("beyond", "demanded"), [(timedelta(0), 0), (timedelta(microseconds=1), 1)])
def test_a_tolerance_up_to_when_the_partition_is_known_lets_in_no_event_from_the_future(
    beyond: timedelta, demanded: int
) -> None:
    late = replace(BARE, time=replace(BARE.time, known_after=timedelta(hours=2)))
    tolerant = replace(late, expectations=[in_partition("ordered_at", tolerance=timedelta(hours=2) + beyond)])

    assert len([e for e in tolerant.judged if e.kind == "after"]) == demanded


def test_each_column_of_a_key_and_the_event_time_are_demanded() -> None:
    keyed = replace(BARE, key=["order_id", "delivered_at"])

    assert {e.columns for e in keyed.judged if e.kind == "not_null"} == {
        ("order_id",),
        ("delivered_at",),
        ("ordered_at",),
    }


def test_a_partition_that_is_mostly_quarantined_is_blocked_though_nobody_declared_a_limit() -> None:
    rows = day(0).height

    for lost, blocked in ((rows // 2, False), (rows // 2 + 1, True)):
        verdict = judge_partitions(split_of(BARE, first_without("order_id", lost)), BARE.judged)["2024-06-03"]

        assert verdict.blocked is blocked
        assert ("at most 50 % of landed rows quarantined" in (verdict.reason or "")) is blocked


def test_a_declared_limit_to_quarantine_stands_in_for_the_usual_one() -> None:
    tolerant = replace(BARE, expectations=[quarantined_share(0.9)])

    assert [e.claim for e in tolerant.judged if e.kind == "quarantined_share"] == [quarantined_share(0.9).claim]
    verdict = judge_partitions(split_of(tolerant, first_without("order_id", day(0).height // 2 + 1)), tolerant.judged)
    assert not verdict["2024-06-03"].blocked
