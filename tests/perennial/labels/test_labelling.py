"""Labels: an outcome that is not known has no label; none is guessed, and each says who told it and how surely."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import BaseRate, BinaryClassification, Column, Label, Pipeline, Schema, col
from perennial.errors import PerennialError
from perennial.labels.labelling import by_source, columns_read, label_rows, trusted
from pipelines.delivery_eta import delivery_eta

NOON = datetime(2024, 7, 5, 12, tzinfo=UTC)
WALL = datetime(2024, 7, 5, 14)


def accepted(minutes: list[float | None]) -> pl.DataFrame:
    until = [None if m is None else WALL + timedelta(minutes=m) for m in minutes]
    return pl.DataFrame(
        {
            "order_id": [str(number) for number in range(len(minutes))],
            "partition": ["2024-07-05"] * len(minutes),
            "event_time": pl.Series([NOON] * len(minutes), dtype=pl.Datetime("us", "UTC")),
            "ordered_at": pl.Series([WALL] * len(minutes), dtype=pl.Datetime("us")),
            "delivered_at": pl.Series(until, dtype=pl.Datetime("us")),
        },
        schema_overrides={"order_id": pl.String, "partition": pl.String},
    )


@given(st.lists(st.one_of(st.none(), st.integers(0, 300)), max_size=20))
def test_each_row_with_an_outcome_is_labelled_once_it_can_be_known(minutes: list[float | None]) -> None:
    labelled = label_rows(accepted(minutes), delivery_eta)

    assert labelled.columns == ["order_id", "partition", "event_time", "known_at", "label", "source", "confidence"]
    assert labelled.select("source", "confidence").unique().rows() in ([], [("rows", 1.0)])
    assert dict(labelled.select("order_id", "label").rows()) == {
        str(number): m for number, m in enumerate(minutes) if m is not None
    }
    assert labelled["known_at"].to_list() == [NOON + timedelta(minutes=m) for m in minutes if m is not None]


@given(delay=st.timedeltas(timedelta(0), timedelta(days=60)))
def test_a_declared_delay_makes_every_label_known_later(delay: timedelta) -> None:
    slow = replace(delivery_eta, label=replace(delivery_eta.label, delay=delay))

    labelled = label_rows(accepted([30.0]), slow)

    assert labelled["known_at"].to_list() == [NOON + timedelta(minutes=30) + delay]
    assert labelled["label"].to_list() == [30.0]


def test_an_outcome_that_is_no_finite_number_is_no_label() -> None:
    rows = accepted([1.0, 2.0, 3.0]).with_columns(items=pl.Series([math.nan, math.inf, 4.0]))
    odd = replace(delivery_eta, label=Label("items", value=col("items"), known_at="delivered_at"))

    assert label_rows(rows, odd)["label"].to_list() == [4.0]


def late(value: pl.Expr) -> Pipeline:
    return replace(
        delivery_eta,
        objective=BinaryClassification(goal=0.5, positive="late"),
        label=Label("late", value=value, known_at="delivered_at"),
        candidates=[BaseRate(by="restaurant")],
    )


@given(st.lists(st.one_of(st.none(), st.integers(0, 300)), max_size=20))
def test_a_class_is_one_or_zero_and_an_unknown_one_is_no_label(minutes: list[float | None]) -> None:
    labelled = label_rows(accepted(minutes), late(delivery_eta.label.value > 35))

    assert labelled["label"].to_list() == [float(m > 35) for m in minutes if m is not None]


@pytest.mark.parametrize("value", [2.0, 0.5, -1.0, math.nan, math.inf])
def test_a_label_that_is_no_class_is_refused_with_its_value_and_an_example(value: float) -> None:
    rows = accepted([30.0, 40.0, 50.0]).with_columns(outcome=pl.Series([1.0, value, value]))
    schema = Schema({**delivery_eta.schema.columns, "outcome": Column("float64", known="with_label")})
    label = Label("late", value=col("outcome"), known_at="delivered_at")
    pipeline = replace(late(delivery_eta.label.value > 35), schema=schema, label=label)

    with pytest.raises(PerennialError) as refused:
        label_rows(rows, pipeline)

    message = str(refused.value)
    assert message.startswith("delivery_eta 2024-07-05: label 'late' is no class")
    assert f"found {value:g} at order_id='1', and in 2 of 3 rows in all" in message
    assert "expected 1 (late), 0, or null" in message


DECIDED = Schema(
    {
        **delivery_eta.schema.columns,
        "decided_by": Column("string", nullable=True, known="with_label"),
        "score": Column("float64", nullable=True, known="with_label"),
    }
)
JUDGED = replace(
    delivery_eta,
    schema=DECIDED,
    label=replace(delivery_eta.label, source=col("decided_by"), confidence=col("score"), min_confidence=0.5),
)

Told = tuple[int | None, str | None, float | None]


def told(rows: list[Told]) -> pl.DataFrame:
    """Accepted rows with the minutes, who decided, and how sure they were."""
    return accepted([row[0] for row in rows]).with_columns(
        decided_by=pl.Series([row[1] for row in rows], dtype=pl.String),
        score=pl.Series([row[2] for row in rows], dtype=pl.Float64),
    )


@given(st.lists(st.tuples(st.none() | st.integers(0, 300), st.sampled_from("ab"), st.floats(0, 1)), max_size=20))
def test_each_label_says_who_told_it_and_how_surely_and_only_sure_ones_teach(rows: list[Told]) -> None:
    labelled = label_rows(told(rows), JUDGED)

    there = [(number, *row) for number, row in enumerate(rows) if row[0] is not None]
    assert labelled.select("order_id", "source", "confidence").rows() == [(str(n), by, s) for n, _, by, s in there]
    sure = trusted(labelled, JUDGED.label)["label"].to_list()
    assert sure == [m for _, m, _, s in there if s is not None and s >= 0.5]
    assert told(rows).select(JUDGED.label.trusted_value).to_series().drop_nulls().to_list() == sure
    found = by_source(labelled)
    assert dict(found.select("source", "labels").rows()) == dict(labelled["source"].value_counts().rows())


def test_a_row_whose_outcome_nobody_knows_needs_no_source_and_no_confidence() -> None:
    labelled = label_rows(told([(None, None, None), (30, "courier", 0.75)]), JUDGED)

    assert labelled.select("source", "confidence").rows() == [("courier", 0.75)]


@pytest.mark.parametrize("score", [-0.1, 1.5, math.nan, math.inf, None])
def test_a_confidence_that_is_none_is_refused_with_its_value_and_an_example(score: float | None) -> None:
    with pytest.raises(PerennialError) as refused:
        label_rows(told([(30, "courier", 1.0), (40, "courier", score), (50, "guest", score)]), JUDGED)

    message = str(refused.value)
    assert message.startswith("delivery_eta 2024-07-05: label 'minutes' has no confidence from 0 to 1")
    found = "null" if score is None else score
    assert f"found {found} at order_id='1', and in 2 of 3 rows in all" in message
    assert "col('score').fill_null(0)" in message


def test_a_confidence_in_words_is_refused() -> None:
    words = replace(JUDGED, label=replace(JUDGED.label, confidence=col("decided_by")))

    with pytest.raises(PerennialError, match="has no confidence from 0 to 1, found null at order_id='0'"):
        label_rows(told([(30, "surely", 1.0)]), words)


def test_a_label_that_nobody_told_is_refused() -> None:
    with pytest.raises(PerennialError) as refused:
        label_rows(told([(30, "courier", 1.0), (40, None, 1.0)]), JUDGED)

    message = str(refused.value)
    assert message.startswith("delivery_eta 2024-07-05: label 'minutes' has no source")
    assert "found null at order_id='1', and in 1 of 2 rows in all" in message


def test_one_source_and_confidence_may_hold_for_all() -> None:
    meter = replace(delivery_eta, label=replace(delivery_eta.label, source="meter", confidence=0.9))

    assert label_rows(accepted([30.0]), meter).select("source", "confidence").rows() == [("meter", 0.9)]
    assert columns_read(meter) == columns_read(delivery_eta)


def test_what_a_row_says_is_not_known_before_the_row_is() -> None:
    timed = replace(delivery_eta, time=replace(delivery_eta.time, row_known_at="ordered_at"))
    rows = accepted([30.0, 90.0, None]).with_columns(known_at=pl.lit(NOON + timedelta(hours=1)))

    assert label_rows(rows, timed)["known_at"].to_list() == [NOON + timedelta(minutes=m) for m in (60, 90)]
    assert "known_at" in columns_read(timed)
