"""Labels: an outcome that is not known has no label; none is guessed."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from perennial import Label, col
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
