"""Days: simulated days of the city without drift, summarized once for all tests of a module."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import polars as pl

from perennial.validation.seasons.judgement import Judgement, Seasons, judge
from perennial.validation.seasons.panel import panel_of
from perennial.validation.seasons.summaries import summarize_partitions, watched_columns
from pipelines.delivery_eta import delivery_eta
from world.city import City

FIRST = date(2024, 6, 3)
LENGTH = 42
TODAY = FIRST + timedelta(days=LENGTH)


@cache
def day(number: int) -> pl.DataFrame:
    """The accepted rows of one day, counted from the first."""
    when = FIRST + timedelta(days=number)
    return City(seed=5, drift_start=None).orders(when).with_columns(partition=pl.lit(when.isoformat()))


@cache
def history() -> pl.DataFrame:
    """The summaries of all days before today."""
    return summarize_partitions(pl.concat(day(number) for number in range(LENGTH)), delivery_eta)


def today(*changes: pl.Expr) -> pl.DataFrame:
    """Today's rows, changed."""
    return day(LENGTH).with_columns(*changes)


def judged(rows: pl.DataFrame, *, seasons: Seasons | None = None, past: pl.DataFrame | None = None) -> Judgement:
    """What is thought of `rows`, as today's, by the days before."""
    before = history() if past is None else past
    panel = panel_of(pl.concat([before, summarize_partitions(rows, delivery_eta)]))
    return judge(
        panel,
        TODAY.isoformat(),
        before["partition"].unique().sort().to_list(),
        columns=watched_columns(delivery_eta),
        calendar=delivery_eta.time,
        seasons=seasons or Seasons(),
    )
