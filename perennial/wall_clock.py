"""Wall clock: how the times of a source are put on a pipeline's own clock, as pushed events and databases are."""

from __future__ import annotations

import re

import polars as pl

from perennial.errors import SchemaSkew

OFFSET = re.compile(r"\d(Z|[+-]\d\d:?\d\d)$")
"""How the text of a time ends that says its offset from UTC."""


def on_wall_clock(raw: pl.Series, wanted: pl.DataType, timezone: str | None) -> pl.Series:
    """A time with an offset as `timezone` shows it; all else, and every time without a timezone, as it is.

    The second pass of an hour that happens twice looks like the first.
    """
    if timezone is None or not isinstance(wanted, pl.Datetime) or not isinstance(raw.dtype, pl.Datetime):
        return raw
    if raw.dtype.time_zone is None:
        return raw
    return raw.dt.convert_time_zone(timezone).dt.replace_time_zone(None)


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
