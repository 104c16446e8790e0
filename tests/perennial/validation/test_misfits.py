"""Misfits: an expectation that cannot be meant is refused when the declaration loads, not when rows come."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import Schema
from perennial.errors import DeclarationError
from perennial.schema import Column, Kind
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
from perennial.validation.misfits import misfits
from perennial.validation.verdicts import judge_partitions, split_rows
from pipelines.delivery_eta import delivery_eta
from tests.perennial.validation.days import day

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("expectation", "words"),
    [
        (between("zone", 0, 9), ["expectations[between, zone]", "zone of kind string", "float64 or datetime"]),
        (mean_between("zone", 0, 1), ["expectations[mean_between, zone]", "zone of kind string", "float64"]),
        (mean_between("ordered_at", 0, 1), ["ordered_at of kind datetime"]),
        (matches("items", "^1"), ["expectations[matches, items]", "items of kind int64", "kind string"]),
        (matches("zone", "["), ["'['", "a regular expression: unterminated character set"]),
        (after("items", "ordered_at"), ["expectations[after, items, ordered_at]", "items of kind int64", "datetime"]),
        (after("delivered_at", "zone", by=(HOUR, None)), ["zone of kind string"]),
        (after("delivered_at", "ordered_at", by=(2 * HOUR, HOUR)), ["by=(2:00:00, 1:00:00)", "at most the second"]),
        (in_partition("zone"), ["expectations[in_partition, zone]", "zone of kind string"]),
        (in_partition("ordered_at", tolerance=-HOUR), ["a tolerance of 0 or more"]),
        (in_set("zone", ["north", 2]), ["(2,)", "values of kind string"]),
        (in_set("items", ["1"]), ["('1',)", "values of kind int64"]),
        (in_set("items", [True]), ["(True,)", "values of kind int64"]),
        (in_set("zone", []), ["at least one"]),
        (in_set("ordered_at", ["2024-01-01"]), ["ordered_at of kind datetime"]),
        (between("items", "1", 9), ["low='1', high=9", "numbers"]),
        (between("items", 9, 1), ["low=9, high=1", "low <= high"]),
        (between("items", 9, 9, strict_low=True), ["low=9, high=9", "low < high"]),
        (between("items"), ["at least one of low and high"]),
        (between("distance_km", high=math.nan), ["high=nan", "numbers"]),
        (between("ordered_at", low=2024), ["low=2024", "'2024-01-31'"]),
        (between("ordered_at", low="2024-01-01T00:00+01:00"), ["without an offset"]),
        (between("ordered_at", "2024-02-01", "2024-01-01"), ["low <= high"]),
        (mean_between("items", 3, 2), ["low=3, high=2", "low <= high"]),
        (rows_between(-1, 5), ["low=-1, high=5", "whole numbers of rows"]),
        (rows_between(high=0), ["high=0", "at least 1"]),
        (rows_between(9, 5), ["low <= high"]),
        (rows_between(0.5), ["low=0.5"]),  # type: ignore[arg-type]
        (quarantined_share(5), ["expectations[quarantined_share]", "5", "a share from 0 to 1"]),
        (quarantined_share(-0.1), ["-0.1"]),
        (share_not_null("zone", 50), ["50", "a share from 0 to 1"]),
        (unique(), ["at least one column"]),
        (quarantined_share("5"), ["'5'", "a share from 0 to 1"]),  # type: ignore[arg-type]
        (share_not_null("zone", math.nan), ["nan", "a share from 0 to 1"]),
        (between("ordered_at"), ["times as text"]),
        (between("items", True, 9), ["low=True, high=9", "numbers"]),
        (mean_between("items"), ["at least one of low and high"]),
        (rows_between(), ["whole numbers of rows"]),
        (rows_between(True), ["low=True", "whole numbers of rows"]),
        (after("delivered_at", "ordered_at", by=(None, HOUR)), ["by=(None, 1:00:00)"]),  # type: ignore[arg-type]
        (in_partition("ordered_at", tolerance=5), ["5", "a tolerance of 0 or more"]),  # type: ignore[arg-type]
        (in_set("items", [1.5]), ["(1.5,)", "values of kind int64"]),
    ],
    ids=lambda value: value.kind if isinstance(value, Expectation) else "",
)
def test_an_expectation_that_cannot_be_meant_is_refused_at_load(expectation: Expectation, words: list[str]) -> None:
    with pytest.raises(DeclarationError) as caught:
        replace(delivery_eta, expectations=[expectation])

    for word in ("pipeline 'delivery_eta'", f"expectations[{expectation.kind}", *words):
        assert word in str(caught.value)


NUMBER = st.one_of(st.none(), st.integers(-3, 3), st.floats(-3, 3), st.just("2024-01-01"), st.just("x"))
COLUMN = st.sampled_from(["zone", "items", "distance_km", "ordered_at"])
ANY = st.one_of(
    st.builds(between, COLUMN, NUMBER, NUMBER, strict_low=st.booleans()),
    st.builds(mean_between, COLUMN, NUMBER, NUMBER),
    st.builds(in_set, COLUMN, st.lists(st.one_of(st.text(max_size=2), st.integers(0, 3), st.floats(0, 1)), max_size=2)),
    st.builds(matches, COLUMN, st.text("a[]*+(", max_size=3)),
    st.builds(after, COLUMN, COLUMN),
    st.builds(in_partition, COLUMN),
    st.builds(not_null, COLUMN),
    st.builds(unique, COLUMN),
    st.builds(share_not_null, COLUMN, st.floats(0, 1)),
)


@given(expectation=ANY)
def test_what_is_not_refused_can_be_evaluated(expectation: Expectation) -> None:
    if list(misfits([expectation], delivery_eta.schema)):
        return

    rows = day(0).head(9)
    judged = judge_partitions(split_rows(rows, [expectation], delivery_eta.time), [expectation])

    assert len(judged["2024-06-03"].results) == 1


ALL: tuple[Kind, ...] = get_args(Kind)
NUMBERS = {"int32", "int64", "float32", "float64"}


@pytest.mark.parametrize("kind", ALL)
def test_each_claim_is_about_some_kinds_of_columns_and_a_wrong_one_is_told_once(kind: Kind) -> None:
    schema = Schema({"any": Column(kind)})
    clock = kind == "datetime"
    limits = ("2024-01-01", "2024-01-02") if clock else (0, 1)
    members = {"string": "x", "bool": True, "float32": 0.5, "float64": 0.5}
    fits = [
        (between("any", *limits), {*NUMBERS, "datetime"}),
        (mean_between("any", 0, 1), NUMBERS),
        (matches("any", "x"), {"string"}),
        (in_set("any", [members.get(kind, 1)]), {*NUMBERS, "string", "bool"}),
        (after("any", "any"), {"datetime"}),
        (in_partition("any"), {"datetime"}),
    ]

    for claim, kinds in fits:
        found = list(misfits([claim], schema))
        assert bool(found) == (kind not in kinds), claim.kind
        assert len({(where, str(what)) for where, what, _ in found}) <= 1


def test_ends_of_a_time_are_ordered_as_times_however_they_are_written() -> None:
    claim = between("at", "2024-01-31T18:00", "2024-01-31 19:00")

    assert list(misfits([claim], Schema({"at": Column("datetime")}))) == []


@pytest.mark.parametrize(
    ("kind", "members"), [("bool", [1]), ("int32", [1.5]), ("int64", [1.5]), ("float64", [True]), ("string", [1])]
)
def test_a_set_holds_values_of_its_columns_kind(kind: Kind, members: list[object]) -> None:
    ((_, found, _),) = misfits([in_set("any", members)], Schema({"any": Column(kind)}))

    assert found == tuple(members)


@pytest.mark.parametrize("kind", ["string", "int32", "float32", "bool", "datetime"])
def test_a_claim_about_missing_values_and_repeated_ones_fits_every_kind(kind: Kind) -> None:
    schema = Schema({"any": Column(kind)})

    assert list(misfits([not_null("any"), share_not_null("any", 0.5), unique("any")], schema)) == []
