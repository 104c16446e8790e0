"""Beside: other sources whose columns join a pipeline's rows, as declared values.

Declared columns read them by the other's name, a dot and its column: `Column("string", source="zones.Borough")`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from perennial.errors import Misfit
from perennial.schema import POLARS_TYPES
from perennial.sources import Files, Sql

VERSIONED = ("partition", "known_from", "uri", "sha256", "fetched_at", "licence")
"""Columns that the table of a lookup's versions adds."""

Taken = Literal["string", "int32", "int64", "float32", "float64", "bool"]
"""Kinds of which joined columns are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A small table whose columns join the rows, in the version that was known at each row's time.

    A key that the lookup lacks gives null, and is counted.
    """

    name: str
    source: Files
    """One file, without `{partition}`; a changed one is a new version, known from when it was read."""
    key: str
    """Column of the lookup that each row is found by."""
    on: str
    """Declared column of the pipeline's rows that holds it."""
    columns: Mapping[str, Taken]
    """What to take from it, by its own names, and of which kind."""

    @property
    def reading(self) -> tuple[object, ...]:
        """What decides, beside the content, what it says of a row."""
        return (self.name, self.key, self.on, self.columns, self.source.reading)

    @property
    def found_by(self) -> tuple[str, ...]:
        """Declared columns of the rows that it is found by."""
        return (self.on,)

    def misfits(self) -> Iterator[Misfit]:
        """What of it cannot be meant."""
        if not self.source.is_whole:
            yield "source", self.source.pattern, "one file, without {partition}"
        taken = {self.key, *self.columns} & set(VERSIONED)
        if taken:
            yield "columns", sorted(taken), "names that the lookup's table does not use"
        yield from _unknown_kinds(self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Readings over time of another source, such as weather by station or prices by product.

    The join is point in time: a row sees the last reading of its key that had happened and was known at
    the row's event time, and null where that one is older than `within`. Of several readings of one key and
    time the one that was known last counts: a correction replaces what it corrects from then on.
    """

    name: str
    source: Files | Sql
    """Files by partition hold the readings of their time; one whole file or a database holds all of them."""
    event_time: str | pl.Expr
    """Column of the source that says what time a reading is of, or a row-wise expression that reads it from text."""
    within: timedelta
    """How old a reading may be."""
    columns: Mapping[str, Taken]
    """What to take from it, by its own names, and of which kind."""
    on: Mapping[str, str] = field(default_factory=dict)
    """Declared columns of the pipeline's rows, each with the source's column of the same key; none: one series
    for all rows."""
    known_at: str | pl.Expr | None = None
    """Column that says since when a reading could be known, such as when it was published."""
    known_after: timedelta | None = None
    """How long after its time a reading could be known, where no column says it."""
    timezone: str | None = None
    """Of its times and of its partitions; None: the pipeline's."""
    every: Literal["1h", "1d", "1mo"] | None = None
    """What time one of its files holds; None: as much as a partition of the pipeline."""

    @property
    def reading(self) -> tuple[object, ...]:
        """What decides, beside the content, what it says of a row."""
        when = (self.event_time, self.known_at, self.known_after, self.within, self.timezone, self.every)
        return (self.name, self.on, self.columns, self.source.reading, when)

    @property
    def found_by(self) -> tuple[str, ...]:
        """Declared columns of the rows that it is found by."""
        return tuple(self.on)

    def misfits(self) -> Iterator[Misfit]:
        """What of it cannot be meant."""
        source: object = self.source
        if not isinstance(source, Files | Sql):
            yield "source", type(source).__name__, "Files or Sql"
        if not self.within > timedelta(0):
            yield "within", self.within, "a span of time above 0"
        if (self.known_at is None) == (self.known_after is None):
            yield "known_at", self.known_at, "either known_at or known_after"
        if self.known_after is not None and self.known_after < timedelta(0):
            yield "known_after", self.known_after, "a span of time of 0 or more"
        both = set(self.on.values()) & set(self.columns)
        if both:
            yield "columns", sorted(both), "columns by which it is not found"
        if self.every not in (None, "1h", "1d", "1mo"):
            yield "every", self.every, "1h, 1d or 1mo"
        if self.timezone is not None and not _is_timezone(self.timezone):
            yield "timezone", self.timezone, "a timezone such as Europe/Berlin"
        yield from _unknown_kinds(self.columns)


def _unknown_kinds(columns: Mapping[str, Taken]) -> Iterator[Misfit]:
    kinds = [kind for kind in POLARS_TYPES if kind != "datetime"]
    if not columns:
        yield "columns", {}, "at least one column to take"
    for name, kind in columns.items():
        if kind not in kinds:
            yield f"columns[{name}]", kind, f"one of {', '.join(kinds)}"


def _is_timezone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
