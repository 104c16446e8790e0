"""Joining: columns of other sources beside the rows, as they were known at each row's time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

import polars as pl

from perennial.casting import declared_column

if TYPE_CHECKING:
    from perennial.declaration import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Rows with the columns of other sources, and of how many of them there is something to say."""

    rows: pl.DataFrame
    told: Mapping[str, int] = field(default_factory=dict)
    """What is to be said of rows, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where rows that were joined came from."""

    uri: str
    sha256: str
    licence: str


class Beside(Protocol):
    """Another source as it is known, ready to be joined to rows that come in parts."""

    @property
    def name(self) -> str:
        """Its declared name."""

    @property
    def found_by(self) -> tuple[str, ...]:
        """Declared columns of the rows that it is found by."""

    @property
    def origins(self) -> Sequence[Origin]:
        """What it was read from."""

    def join(self, rows: pl.DataFrame, keys: Sequence[pl.Series], times: pl.Series) -> Joined:
        """`rows`, in their order, with its columns as `name.column`; `times` are instants."""


def join_all(pipeline: Pipeline, rows: pl.DataFrame, sources: Sequence[Beside], *, where: str, is_text: bool) -> Joined:
    """Some rows of the source with the columns of all that lies beside it. Raises SchemaSkew."""
    if not sources:
        return Joined(rows=rows)
    time, told = pipeline.time.event_time, Counter[str]()
    read = partial(
        declared_column, schema=pipeline.schema, where=where, is_text=is_text, timezone=pipeline.time.timezone
    )
    local = read(rows, name=time)
    times = local.to_frame().select(pipeline.time.utc(time)).to_series()
    for source in sources:
        keys = [read(rows, name=name) for name in source.found_by]
        joined = source.join(rows, keys, times)
        rows = joined.rows
        told.update(joined.told)
    return Joined(rows=rows, told=told)


def told_of(told: Mapping[str, int], rows: int) -> tuple[str, ...]:
    """A line for each thing that is to be said of some of `rows`.

    >>> told_of({"lookup zones: {} have a key that it lacks": 3}, 2_000)
    ('lookup zones: 3 of 2,000 rows have a key that it lacks',)
    """
    return tuple(line.format(f"{count:,} of {rows:,} rows") for line, count in told.items() if count)
