"""Faults: what can be wrong with a partition, in sizes fixed before anything was tuned.

Each takes the rows of one partition as they were accepted and gives the rows as a broken upstream
would tell them. `SIZES` and `FAULTS` are the grid of `benchmarks.alarms`; they are not to be fitted to
what is found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The columns of a simulated table that faults strike."""

    number: str
    """A number with digits behind the point."""
    other: str
    """A number of another range, for `columns swapped`."""
    related: str
    """A number that goes together with `label_end` or with another column."""
    category: str
    key: str
    event: str
    """Wall-clock time of a row."""
    label_end: str | None
    """Wall-clock time of its outcome, where the outcome is a span of time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """One partition to break, and what a fault may take from elsewhere."""

    rows: pl.DataFrame
    yesterday: pl.DataFrame
    target: Target
    rng: np.random.Generator


Fault = Callable[[Struck, float], pl.DataFrame]

SHARES = (0.01, 0.05, 0.2, 0.5, 1.0)
PARTS = (0.05, 0.1, 0.25, 0.5, 1.0)


def nulls(struck: Struck, share: float) -> pl.DataFrame:
    """A share of one column's values is lost."""
    return _set(struck, struck.target.number, _some(struck, share), pl.lit(None))


def unit(struck: Struck, factor: float) -> pl.DataFrame:
    """A number comes in another unit."""
    return struck.rows.with_columns(pl.col(struck.target.number) * factor)


def category_swapped(struck: Struck, share: float) -> pl.DataFrame:
    """In a share of the rows the commonest category and the one of middle rank stand for each other."""
    name = struck.target.category
    ranked = struck.rows[name].value_counts(sort=True)[name].to_list()
    first, second = ranked[0], ranked[len(ranked) // 2]
    swapped = pl.when(pl.col(name) == first).then(pl.lit(second)).when(pl.col(name) == second).then(pl.lit(first))
    return _set(struck, name, _some(struck, share), swapped.otherwise(pl.col(name)))


def category_unseen(struck: Struck, share: float) -> pl.DataFrame:
    """A share of the rows has a category that never was."""
    return _set(struck, struck.target.category, _some(struck, share), pl.lit("zz_unseen"))


def duplicated(struck: Struck, share: float) -> pl.DataFrame:
    """A share of the rows comes twice."""
    return pl.concat([struck.rows, struck.rows.filter(_some(struck, share))])


def repeated(struck: Struck, share: float) -> pl.DataFrame:
    """A share of the rows is yesterday's, dated today and with keys of today."""
    some = _some(struck, share)
    count = min(int(some.sum()), struck.yesterday.height)
    times = [name for name in (struck.target.event, struck.target.label_end) if name]
    again = struck.yesterday.sample(count, seed=int(struck.rng.integers(2**31))).with_columns(
        *(pl.col(name) + timedelta(days=1) for name in times),
        pl.Series(struck.target.key, struck.rows.filter(some)[struck.target.key][:count]),
        partition=pl.lit(struck.rows["partition"][0]),
    )
    return pl.concat([struck.rows.filter(~some), again.select(struck.rows.columns)])


def clock_shifted(struck: Struck, hours: float) -> pl.DataFrame:
    """All clocks are so many hours ahead; what leaves the day is not accepted."""
    return _shifted(struck, pl.Series([True]).new_from_index(0, struck.rows.height), hours)


def timezone(struck: Struck, share: float) -> pl.DataFrame:
    """A share of the rows is told in a timezone two hours ahead."""
    return _shifted(struck, _some(struck, share), 2.0)


def stuck(struck: Struck, share: float) -> pl.DataFrame:
    """From some moment on a number keeps its value."""
    rows = struck.rows.sort(struck.target.event)
    last = rows.height - round(share * rows.height)
    held = rows[struck.target.number].drop_nulls()[min(last, rows.height - 1) // 2]
    late = pl.int_range(pl.len()) >= last
    value = pl.when(late).then(pl.lit(held)).otherwise(pl.col(struck.target.number))
    return rows.with_columns(value.alias(struck.target.number))


def truncated(struck: Struck, share: float) -> pl.DataFrame:
    """A share of the rows is missing, wherever in the file."""
    return struck.rows.filter(~_some(struck, share))


def cut_short(struck: Struck, share: float) -> pl.DataFrame:
    """The last rows of the partition, by their time, are missing."""
    rows = struck.rows.sort(struck.target.event)
    return rows.head(rows.height - round(share * rows.height))


def inflated(struck: Struck, share: float) -> pl.DataFrame:
    """There are more rows than usual, all plausible: others of the day with keys of their own."""
    renamed = (pl.lit("more ") + pl.col(struck.target.key)).alias(struck.target.key)
    more = struck.rows.filter(_some(struck, share)).with_columns(renamed)
    jitter = 1 + 0.01 * struck.rng.standard_normal(more.height)
    return pl.concat([struck.rows, more.with_columns(pl.col(struck.target.number) * jitter)])


def columns_swapped(struck: Struck, share: float) -> pl.DataFrame:
    """In a share of the rows two numbers stand in each other's column."""
    number, other, some = struck.target.number, struck.target.other, _some(struck, share)
    return struck.rows.with_columns(
        pl.when(some).then(pl.col(other)).otherwise(pl.col(number)).alias(number),
        pl.when(some).then(pl.col(number)).otherwise(pl.col(other)).alias(other),
    )


def outliers(struck: Struck, share: float) -> pl.DataFrame:
    """A share of a number's values is a thousandfold."""
    return _set(struck, struck.target.number, _some(struck, share), pl.col(struck.target.number) * 1_000)


def rounding(struck: Struck, step: float) -> pl.DataFrame:
    """A number is rounded to so many of its standard deviations."""
    width = step * _spread(struck, struck.target.number)
    return struck.rows.with_columns((pl.col(struck.target.number) / width).round() * width)


def offset(struck: Struck, size: float) -> pl.DataFrame:
    """So many of its standard deviations are added to a number."""
    return struck.rows.with_columns(pl.col(struck.target.number) + size * _spread(struck, struck.target.number))


def correlation_broken(struck: Struck, share: float) -> pl.DataFrame:
    """A share of a column's values is dealt out among the rows anew."""
    name, some = struck.target.related, _some(struck, share)
    dealt = struck.rows[name].to_numpy().copy()
    places = some.arg_true().to_numpy()
    dealt[places] = dealt[struck.rng.permutation(places)]
    return struck.rows.with_columns(pl.Series(name, dealt))


def sign_flipped(struck: Struck, share: float) -> pl.DataFrame:
    """A share of a number's values has the other sign."""
    return _set(struck, struck.target.number, _some(struck, share), -pl.col(struck.target.number))


def zero_filled(struck: Struck, share: float) -> pl.DataFrame:
    """A share of a number's values is 0: somebody filled in what was missing."""
    return _set(struck, struck.target.number, _some(struck, share), pl.lit(0.0))


def hours_missing(struck: Struck, hours: float) -> pl.DataFrame:
    """Nothing was recorded for so many hours around the middle of the day's rows."""
    event = pl.col(struck.target.event)
    begins = event.median()
    return struck.rows.filter(~event.is_between(begins, begins + timedelta(hours=hours)))


FAULTS: Mapping[str, tuple[Fault, tuple[float, ...], str]] = {
    "nulls": (nulls, SHARES, "share of rows"),
    "unit change": (unit, (1.05, 1.2, 1.609, 10.0, 1_000.0), "factor"),
    "category swapped": (category_swapped, (0.1, 0.25, 0.5, 0.75, 1.0), "share of rows"),
    "category unseen": (category_unseen, SHARES, "share of rows"),
    "rows duplicated": (duplicated, SHARES, "share of rows"),
    "repeated from yesterday": (repeated, PARTS, "share of rows"),
    "clock shifted": (clock_shifted, (0.25, 0.5, 1.0, 2.0, 6.0), "hours"),
    "timezone of some rows": (timezone, PARTS, "share of rows"),
    "stuck value": (stuck, PARTS, "share of rows"),
    "volume truncated": (truncated, (0.05, 0.1, 0.25, 0.5, 0.9), "share of rows"),
    "cut short": (cut_short, (0.05, 0.1, 0.25, 0.5, 0.9), "share of rows"),
    "volume inflated": (inflated, PARTS, "share of rows"),
    "columns swapped": (columns_swapped, PARTS, "share of rows"),
    "outliers": (outliers, (0.001, 0.005, 0.02, 0.1, 0.3), "share of rows"),
    "rounding": (rounding, (0.1, 0.25, 0.5, 1.0, 2.0), "standard deviations"),
    "constant offset": (offset, (0.05, 0.1, 0.25, 0.5, 2.0), "standard deviations"),
    "correlation broken": (correlation_broken, (0.1, 0.25, 0.5, 0.75, 1.0), "share of rows"),
    "sign flipped": (sign_flipped, SHARES, "share of rows"),
    "filled with zero": (zero_filled, SHARES, "share of rows"),
    "hours missing": (hours_missing, (0.5, 1.0, 2.0, 4.0, 8.0), "hours"),
}
"""Of each fault: what it does, its sizes from small to large, and what the size counts."""


def _some(struck: Struck, share: float) -> pl.Series:
    """Which rows are struck: at least one, spread by chance."""
    count = struck.rows.height
    return pl.Series(struck.rng.permutation(count) < max(1, round(share * count)))


def _set(struck: Struck, name: str, some: pl.Series, value: pl.Expr) -> pl.DataFrame:
    changed = pl.when(some).then(value).otherwise(pl.col(name))
    return struck.rows.with_columns(changed.cast(struck.rows.schema[name]).alias(name))


def _shifted(struck: Struck, some: pl.Series, hours: float) -> pl.DataFrame:
    day = struck.rows[struck.target.event].dt.date().mode()[0]
    times = [name for name in (struck.target.event, struck.target.label_end) if name]
    moved = struck.rows.with_columns(
        pl.when(some).then(pl.col(name) + timedelta(hours=hours)).otherwise(pl.col(name)).alias(name) for name in times
    )
    return moved.filter(pl.col(struck.target.event).dt.date() == day)


def _spread(struck: Struck, name: str) -> float:
    return float(struck.rows[name].std() or 1.0)  # type: ignore[arg-type]
