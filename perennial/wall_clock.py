"""Wall clock: a timezone's wall-clock times as instants, and the times of a source on a pipeline's own clock."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import polars as pl

from perennial.errors import SchemaSkew

OFFSET = re.compile(r"\d(Z|[+-]\d\d:?\d\d)$")
"""How the text of a time ends that says its offset from UTC."""
HOUR = timedelta(hours=1)
MICROSECONDS = 3_600_000_000
"""Of an hour."""
FEW = 10_000
"""Times that are asked one by one: to look at their hours takes as long."""


def on_wall_clock(raw: pl.Series, wanted: pl.DataType, timezone: str | None) -> pl.Series:
    """A time with an offset as `timezone` shows it; all else, and every time without a timezone, as it is.

    The second pass of an hour that happens twice looks like the first.
    """
    if timezone is None or not isinstance(wanted, pl.Datetime) or not isinstance(raw.dtype, pl.Datetime):
        return raw
    if raw.dtype.time_zone is None:
        return raw
    return wall_times(raw, timezone)


def instants(wall: pl.Series, timezone: str) -> pl.Series:
    """Wall-clock times of `timezone` as instants in UTC, to the microsecond.

    An hour that happens twice in autumn means its first pass; one that spring skips is read an hour later, as
    clocks do. Null where that is no time either: all but the last hour of what is skipped for longer.
    """

    def each(times: pl.Series) -> pl.Series:
        read, later = (
            at.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null") for at in (times, times + HOUR)
        )
        return read.zip_with(read.is_not_null(), later).dt.convert_time_zone("UTC")

    times = wall.cast(pl.Datetime("us"))
    return times.dt.replace_time_zone("UTC") if timezone == "UTC" else _by_hour(times, each)


def wall_times(at: pl.Series, timezone: str) -> pl.Series:
    """Instants as the wall clocks of `timezone` show them, without a timezone and in their own unit of time."""

    def each(times: pl.Series) -> pl.Series:
        return times.dt.convert_time_zone(timezone).dt.replace_time_zone(None)

    return _by_hour(at, each) if at.dtype == pl.Datetime("us", "UTC") and timezone != "UTC" else each(at)


def _by_hour(times: pl.Series, each: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """What `each` makes of times in microseconds, asked once an hour: the offset of a time takes long to look up.

    Where an hour and the next become times an hour apart, so does all between them: clocks never change twice within
    an hour. Times of the other hours are asked one by one, and so are all that lie in more hours than there are times.
    """
    if times.len() < FEW:
        return each(times)
    counted = times.to_physical().rename("at").to_frame().with_columns(hour=pl.col("at") // MICROSECONDS)
    first, last = counted["hour"].min(), counted["hour"].max()
    if not isinstance(first, int) or not isinstance(last, int) or last - first >= times.len():
        return each(times)
    begins = pl.int_range(first, last + 2, eager=True) * MICROSECONDS
    made = each(begins.cast(times.dtype))
    shift, hour = made.to_physical() - begins, pl.col("hour") - first
    steady = (shift.diff(null_behavior="drop") == 0).fill_null(value=False)
    found = counted.select(pl.col("at") + pl.lit(shift).gather(hour), odd=~pl.lit(steady).gather(hour))
    result, odd = found["at"].cast(made.dtype).alias(times.name), found["odd"].arg_true()
    return result.scatter(odd, each(times.gather(odd))) if odd.len() else result


def time_as_text(raw: pl.Series, example: str, *, name: str, where: str) -> SchemaSkew:
    """What to raise for the declared time `name` that is text: only its declaration can say how it is written."""
    form = "%+" if OFFSET.search(str(raw.drop_nulls().first())) else "%Y-%m-%d"
    return SchemaSkew(
        f"column {name!r} is text",
        where=where,
        found=example,
        expected="a time",
        hint=f'declare its format: Column("datetime", source=col("{raw.name}").str.to_datetime("{form}"))',
    )
