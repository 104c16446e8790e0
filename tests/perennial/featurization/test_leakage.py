"""Leakage: what nobody could know is caught, all else is not, and an audit that misses a canary proves nothing."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import BaseRate, BinaryClassification, LeakageAudit, Linear, col
from perennial.declaration import Pipeline
from perennial.featurization.leakage import LeakageReport, audit, changed_share, power, purity
from pipelines.delivery_eta import delivery_eta

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = 4_000
MINUTES = replace(
    delivery_eta,
    features=[col("items"), col("zone")],
    candidates=[Linear()],
    aggregates=(),
    slices=(),
    monitoring=replace(delivery_eta.monitoring, columns=None),
)
LATE = replace(MINUTES, objective=BinaryClassification(goal=0.5, positive="late"), candidates=[BaseRate(by="zone")])


def rows(label: pl.Series | None = None, **features: pl.Series) -> pl.DataFrame:
    """Rows of four days whose outcome takes two days; their features know nothing of it unless given."""
    numbers = pl.Series(range(ROWS))
    plain = {
        "items": (numbers * 7 % 11).cast(pl.Float32),
        "zone": ("zone " + (numbers % 3).cast(pl.String)).cast(pl.String),
    }
    at = pl.Series([START + timedelta(minutes=number) for number in range(ROWS)], dtype=pl.Datetime("us", "UTC"))
    outcome = outcomes() if label is None else label
    took = pl.Series([timedelta(days=2)] * ROWS)
    return pl.DataFrame(
        {
            "partition": at.dt.strftime("%Y-%m-%d"),
            "event_time": at,
            "label": outcome.cast(pl.Float64),
            "label_known_at": at + took,
            **plain,
            **features,
        }
    )


def outcomes(share: float = 0.4) -> pl.Series:
    """0 and 1 without any pattern that the features have."""
    return pl.Series([float(math.sin(number * number) < 2 * share - 1) for number in range(ROWS)])


def judge(pipeline: Pipeline, frame: pl.DataFrame, **first: pl.Series) -> LeakageReport:
    return audit(pipeline, frame, first=frame.select("items", "zone").with_columns(**first))


@pytest.mark.parametrize("pipeline", [LATE, MINUTES], ids=["classification", "regression"])
def test_innocent_features_raise_no_alarm_and_every_canary_is_caught(pipeline: Pipeline) -> None:
    label = outcomes() if pipeline is LATE else pl.Series([math.sin(n * n) * 10 for n in range(ROWS)])

    report = judge(pipeline, rows(label))

    assert report.leaks == ()
    assert report.missed == ()
    assert report.reason is None
    assert len(report.canaries) == (5 if pipeline is LATE else 4)


@pytest.mark.parametrize("waiting", range(5))
def test_an_outcome_that_is_there_with_the_event_has_taken_no_time_and_the_audit_holds_all_the_same(
    waiting: int,
) -> None:
    frame = rows(pl.Series([math.sin(n * n) * 10 for n in range(ROWS)])).with_columns(
        label_known_at=pl.when(pl.int_range(pl.len()) % 4 < waiting).then("label_known_at").otherwise("event_time")
    )

    report = judge(MINUTES, frame)

    assert report.reason is None
    took = [each.name for each in report.canaries if each.name == "how long the outcome took"]
    assert took == (["how long the outcome took"] if waiting > 2 else [])


def test_where_each_row_is_a_group_of_its_own_the_next_outcomes_are_those_of_all() -> None:
    label = pl.Series([math.sin(n * n) * 10 for n in range(ROWS)])
    each = "zone " + pl.Series(range(ROWS)).cast(pl.String)

    assert judge(MINUTES, rows(label, zone=each), zone=each).reason is None


def test_a_copy_of_the_label_is_caught_also_backwards_and_with_noise() -> None:
    label = outcomes()
    for leak in (label, 1 - label, (label + pl.Series(range(ROWS)) / ROWS * 0.9)):
        report = judge(LATE, rows(label, items=leak.cast(pl.Float32)), items=leak.cast(pl.Float32))

        (caught,) = report.leaks
        assert caught.name == "items"
        assert "alone orders the outcomes" in caught.caught[0]
        assert "feature 'items' alone orders" in str(report.reason)


def test_a_text_that_names_the_outcome_is_caught() -> None:
    label = outcomes()
    named = label.replace_strict({0.0: "Check-Out", 1.0: "Canceled"}, return_dtype=pl.String)

    (caught,) = judge(LATE, rows(label, zone=named), zone=named).leaks

    assert caught.power == 1.0


def test_a_category_of_one_row_each_does_not_know_its_own_label() -> None:
    label = outcomes()

    alone = power(pl.Series([f"booking {number}" for number in range(ROWS)]), label, binary=True)

    assert alone < 0.1


def test_a_value_that_only_one_outcome_gets_is_caught_though_few_rows_have_it() -> None:
    label = outcomes()
    parking = ((label == 0) & (pl.Series(range(ROWS)) % 8 == 0)).cast(pl.Float32)

    report = judge(LATE, rows(label, items=parking), items=parking)

    (caught,) = report.leaks
    assert caught.power < LATE.leakage.power
    assert caught.purity == 1.0
    assert "certain of the outcome" in caught.caught[0]


def test_a_value_of_too_few_rows_is_not_certain_of_anything() -> None:
    label = outcomes()
    rare = pl.Series([1.0] * 20 + [0.0] * (ROWS - 20))

    assert purity(rare, pl.Series([0.0] * 20 + label.to_list()[20:]), expected=100) < 0.9


def test_what_is_missing_by_the_outcome_is_caught_in_regression_too() -> None:
    label = pl.Series([math.sin(n * n) * 10 for n in range(ROWS)])
    given_later = pl.Series([1.0 if value > 0 else None for value in label], dtype=pl.Float32)

    (caught,) = judge(MINUTES, rows(label, items=given_later), items=given_later).leaks

    assert caught.missing > MINUTES.leakage.missing
    assert any("missing or not by the outcome" in reason for reason in caught.caught)


def test_a_value_that_came_after_the_first_delivery_is_caught_though_it_says_little() -> None:
    frame = rows()

    report = judge(LATE, frame, items=pl.Series([None] * ROWS, dtype=pl.Float32))

    (caught,) = report.leaks
    assert (caught.name, caught.changed) == ("items", 1.0)
    assert caught.power < 0.1
    assert "not what was first known (100.0% of the rows" in caught.caught[0]


def test_a_correction_of_one_day_is_no_leak() -> None:
    frame = rows()
    corrected = frame.with_columns(
        items=pl.when(pl.col("partition") == "2024-01-02").then(pl.col("items") * 2 + 1).otherwise("items")
    )

    report = audit(LATE, corrected, first=frame.select("items", "zone"))

    assert report.leaks == ()


def test_an_audit_that_cannot_catch_its_canaries_refuses() -> None:
    blind = replace(LATE, leakage=LeakageAudit(power=1.0, purity=1.0, changed=1.0))

    report = judge(blind, rows())

    assert set(report.missed) == {each.name for each in report.canaries}
    assert "misses its canary 'the label'" in str(report.reason)


def test_few_rows_are_judged_without_the_canary_that_needs_many() -> None:
    report = judge(LATE, rows().head(150))

    assert report.missed == ()
    assert len(report.canaries) == 4


@given(positives=st.integers(1, 40), seed=st.integers(0, 10_000))
@settings(max_examples=25)
def test_a_rare_outcome_leaves_every_canary_to_be_caught_whatever_the_seed(positives: int, seed: int) -> None:
    chosen = set(random.Random(seed).sample(range(1_000), positives))
    label = pl.Series([float(row in chosen) for row in range(ROWS)])

    report = judge(replace(LATE, seed=seed), rows(label).head(1_000))

    assert report.missed == ()


def test_rows_of_one_outcome_cannot_be_judged_and_the_reason_says_so() -> None:
    report = judge(LATE, rows(pl.Series([0.0] * ROWS)).head(500))

    assert report.reason == "all 500 sampled rows have one outcome: the audit cannot judge them"


@given(
    stored=st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=1, max_size=40),
    days=st.integers(1, 5),
)
def test_nothing_changed_where_nothing_did_and_nulls_are_values(stored: list[int | None], days: int) -> None:
    values = pl.Series(stored, dtype=pl.Float32)
    partition = pl.Series([str(row % days) for row in range(len(stored))])

    assert changed_share(values, values, partition) == 0.0
    assert changed_share(values, values.fill_null(9.0), partition) <= 1.0
    assert changed_share(values, (values + 1).fill_null(9.0), partition) == 1.0


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=4, max_size=80))
def test_a_power_lies_between_none_and_all_whatever_the_direction(pairs: list[tuple[int, bool]]) -> None:
    values = pl.Series([float(value) for value, _ in pairs])
    label = pl.Series([float(outcome) for _, outcome in pairs])

    found = power(values, label, binary=True)

    assert 0 <= found <= 1
    assert power(-values, label, binary=True) == pytest.approx(found)
