"""Point in time: each row meets the aggregates that one could know when it happened, and no later ones.

A row at instant t sees the newest state known at t. An entity without a value there has none: not an
older one's. It gets the declared default, and is marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from perennial.featurization.aggregates import Aggregate, groups_of

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

DEFAULTED = "defaulted"
"""Column that names the aggregates of a row that have no value, separated by commas; mostly empty."""


def visible_keys(pipeline: Pipeline, rows: pl.DataFrame) -> list[str]:
    """The declared partitions whose ends `rows` may see, oldest first: those of the aggregates to read."""
    if rows.is_empty():
        return []
    first, last, newest = rows.select(
        pl.col("event_time").min().alias("first"),
        pl.col("event_time").max().alias("last"),
        pl.col("partition").max(),
    ).row(0)
    return [key for key in keys_seen(pipeline, first, last) if key <= newest]


def keys_seen(pipeline: Pipeline, first: datetime, last: datetime) -> list[str]:
    """The declared partitions whose end is the newest that is known at some instant from `first` to `last`."""
    calendar = pipeline.time
    # The newest partition known at t is the one before that which holds t - known_after.
    oldest, newest = (calendar.preceding(calendar.key_of(at - calendar.known_after), 2)[0] for at in (first, last))
    oldest, newest = max(oldest, calendar.start), min(newest, calendar.end or newest)
    return calendar.keys(oldest, newest) if oldest <= newest else []


def join_point_in_time(rows: pl.DataFrame, states: pl.DataFrame, pipeline: Pipeline) -> pl.DataFrame:
    """`rows` with each aggregate as it was known at their `event_time`, and the column `defaulted`.

    `states` are the rows of table `aggregates` for at least the `visible_keys`. Keeps the order of rows.
    """
    moments = _moments(rows, states, pipeline)
    known = pl.Series(moments.get_column("known_at"), dtype=pl.Datetime("us", "UTC"))
    seen = known.search_sorted(rows.get_column("event_time"), side="right").cast(pl.Int64) - 1
    numbered = states.join(moments.with_row_index("_state"), on=["partition", "known_at"], how="inner")
    numbered = numbered.with_columns(pl.col("_state").cast(pl.Int64))
    joined = rows.with_columns(seen.alias("_state"))
    for group, members in groups_of(pipeline.checked_aggregates).items():
        names = [member.name for member in members]
        values = numbered.filter(pl.col("by") == group).select("_state", *members[0].by, *names)
        joined = joined.join(values, on=["_state", *members[0].by], how="left", maintain_order="left")
    return with_defaults(joined.drop("_state"), pipeline.checked_aggregates)


def with_defaults(rows: pl.DataFrame, aggregates: Sequence[Aggregate]) -> pl.DataFrame:
    """`rows` whose null aggregates hold their declared default, and which say so in column `defaulted`."""
    absent = [pl.when(pl.col(a.name).is_null()).then(pl.lit(a.name)) for a in aggregates]
    marked = rows.with_columns(pl.concat_str(absent, separator=",", ignore_nulls=True).alias(DEFAULTED))
    return marked.with_columns(
        pl.col(a.name).fill_null(pl.lit(a.default, pl.Float32)) for a in aggregates if a.default is not None
    )


def _moments(rows: pl.DataFrame, states: pl.DataFrame, pipeline: Pipeline) -> pl.DataFrame:
    """Every state that `rows` may see, also one without any entity, in order of time."""
    keys = visible_keys(pipeline, rows)
    ends = pl.DataFrame(
        {"partition": keys, "known_at": [pipeline.time.known_at(key) for key in keys]},
        schema={"partition": pl.String, "known_at": pl.Datetime("us", "UTC")},
    )
    further = states.select("partition", "known_at")
    return pl.concat([ends, further]).unique().sort("known_at")
