"""A summary depends on its own rows alone, repeats exactly, and survives what is empty or not a number."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.validation.seasons.baseline import _scaled
from perennial.validation.seasons.panel import Name, panel_of
from perennial.validation.seasons.summaries import SUMMARY_SCHEMA, summarize_partitions
from pipelines.delivery_eta import delivery_eta
from tests.perennial.validation.days import day


def value(summary: pl.DataFrame, column: str, statistic: str, item: str = "") -> float:
    panel = panel_of(summary)
    return float(panel.values[0, panel.place[Name(column=column, statistic=statistic, item=item)]])


def test_many_partitions_at_once_give_what_each_gives_alone() -> None:
    days = [day(number) for number in range(3)]

    together = summarize_partitions(pl.concat(days), delivery_eta)
    alone = pl.concat(summarize_partitions(each, delivery_eta) for each in days)

    assert together.equals(alone)
    assert together.schema == SUMMARY_SCHEMA


def test_the_order_of_the_rows_says_nothing() -> None:
    rows = day(0)

    assert summarize_partitions(rows, delivery_eta).equals(summarize_partitions(rows.reverse(), delivery_eta))


def test_the_numbers_are_those_of_the_rows() -> None:
    rows = day(0).with_columns(pl.when(pl.int_range(pl.len()) < 20).then(None).otherwise("items").alias("items"))

    summary = summarize_partitions(pl.concat([rows, rows.head(10)]), delivery_eta, quarantined={"2024-06-03": 10})

    count = rows.height + 10
    assert value(summary, "", "rows") == count
    assert value(summary, "", "duplicates") == pytest.approx(10 / count)
    assert value(summary, "", "quarantined") == pytest.approx(10 / (count + 10))
    assert value(summary, "items", "nulls") == pytest.approx(30 / count)
    assert value(summarize_partitions(rows, delivery_eta), "distance_km", "p50") == pytest.approx(
        rows["distance_km"].median()
    )


def test_no_rows_make_no_summary() -> None:
    assert summarize_partitions(day(0).clear(), delivery_eta).is_empty()


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), None, 0.0])
def test_a_column_without_a_number_is_summarized(broken: float | None) -> None:
    rows = day(0).with_columns(pl.lit(broken, pl.Float64).alias("distance_km"))

    summary = summarize_partitions(rows, delivery_eta)

    assert value(summary, "distance_km", "nulls") == (0.0 if broken == 0.0 else 1.0)
    assert summary["value"].is_finite().all()


def test_a_row_without_a_time_has_no_hour() -> None:
    rows = day(0).with_columns(ordered_at=pl.when(pl.int_range(pl.len()) > 0).then("ordered_at"))

    hours = summarize_partitions(rows, delivery_eta).filter(pl.col("statistic") == "hour")

    assert hours["item"].null_count() == 0
    assert hours["value"].sum() == pytest.approx(1.0)
    assert hours["count"].unique().to_list() == [rows.height - 1]
    assert panel_of(summarize_partitions(rows, delivery_eta)).partitions == ("2024-06-03",)


@given(share=st.floats(0, 1), rows=st.integers(10, 100_000))
def test_chance_has_one_size_on_the_scale_of_shares_whatever_the_share(share: float, rows: int) -> None:
    import numpy as np

    kinds = np.array(["share"])
    one = np.ones(1)
    _, error = _scaled(np.array([[share]]), np.array([[float(rows)]]), kinds, (one, 0 * one), one)

    assert error[0, 0] == pytest.approx(0.5 / rows**0.5)
