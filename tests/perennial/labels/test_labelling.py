"""Labels: an outcome that is not known has no label; none is guessed."""

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
from perennial.labels.labelling import label_rows
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

    assert labelled.columns == ["order_id", "partition", "event_time", "known_at", "label"]
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
