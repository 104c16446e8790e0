"""Timelines: readings of another source, and the last one that each row could know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import polars as pl

from perennial.beside import Timeline
from perennial.casting import cast_partition
from perennial.declaration import Pipeline
from perennial.ingestion.joining import Joined, Origin
from perennial.ingestion.landing import Arrival
from perennial.schema import Column, Schema
from perennial.sources import Files, Sql
from perennial.time import CALENDARS, Calendar

AT, KNOWN, SEEN, NTH, ROW = "event_time", "known_at", "seen_at", "nth", "row"
NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""Before any reading: when a row without a time happened."""
INSTANT = pl.Datetime("us", "UTC")


@dataclass(frozen=True, kw_only=True)
class Readings:
    """The readings of a timeline as partitions of their own, which a source can read like those of a pipeline."""

    pipeline: Pipeline
    timeline: Timeline

    @property
    def name(self) -> str:
        """For messages, and for what is kept of its files."""
        return f"{self.pipeline.name} timeline {self.timeline.name}"

    @property
    def source(self) -> Files | Sql:
        """Where they come from."""
        return self.timeline.source

    @cached_property
    def time(self) -> Calendar:
        """How they are cut: as the pipeline is, or as declared."""
        ours = self.pipeline.time
        kind = CALENDARS[self.timeline.every or ours.every]
        blank = kind(start="", event_time=AT, timezone=self.timeline.timezone or ours.timezone)
        first = ours.window(ours.start).start - self.timeline.within
        return kind(start=blank.key_of(first), event_time=AT, timezone=blank.timezone)

    @cached_property
    def schema(self) -> Schema:
        """Their times, what rows find them by, and what is taken from them by its joined name."""
        told = self.timeline.known_at
        known = {KNOWN: Column("datetime", source=told)} if told is not None else {}
        keys = {
            key: Column("string", source=name) for key, name in zip(self.by, self.timeline.on.values(), strict=True)
        }
        taken = {
            f"{self.timeline.name}.{name}": Column(kind, source=name) for name, kind in self.timeline.columns.items()
        }
        times = {AT: Column("datetime", source=self.timeline.event_time), **known}
        return Schema({**times, **keys, **taken}, allow_additional=True)

    @property
    def key(self) -> tuple[str, ...]:
        """What orders readings of one time."""
        return tuple(self.schema.columns)

    @property
    def by(self) -> list[str]:
        """The columns that rows find them by."""
        return [f"its {name}" for name in self.timeline.on]

    def part_hash(self, *names: str) -> str:
        """What decides how they are cut, beside their content: the declaration that they belong to."""
        return self.pipeline.part_hash(*names)

    def partitions(self, key: str) -> list[str]:
        """The partitions that hold what rows of the pipeline's partition `key` may see, oldest first."""
        rows = self.pipeline.time.window(key)
        first = self.time.key_of(rows.start - self.timeline.within)
        return self.time.keys(first, self.time.key_of(rows.end - timedelta(microseconds=1)))

    @property
    def none(self) -> pl.DataFrame:
        """No reading, in the declared types."""
        return pl.DataFrame(schema={**self.schema.polars, AT: INSTANT, KNOWN: INSTANT})

    def needed(self, key: str) -> list[str]:
        """Those of them that must be there: every file but those of before the pipeline's start."""
        if not isinstance(self.source, Files) or self.source.is_whole:
            return []
        start = self.pipeline.time.window(self.pipeline.time.start).start
        return [one for one in self.partitions(key) if self.time.window(one).end > start]


def read_readings(readings: Readings, arrival: Arrival) -> pl.DataFrame:
    """The readings of one partition in their declared types, with their instants. Raises SchemaSkew."""
    where = f"{readings.name} {arrival.partition}"
    parts = []
    for part in arrival.parts():
        keys = [pl.col(name).cast(pl.String) for name in readings.timeline.on.values() if name in part.columns]
        rows, timezone = part.with_columns(keys), readings.time.timezone
        cast = cast_partition(rows, readings.schema, where=where, is_text=arrival.is_text, timezone=timezone)
        parts.append(cast.frame.with_columns(_instants(readings)))
    return pl.concat(parts)


def _instants(readings: Readings) -> list[pl.Expr]:
    at, known_after = readings.time.utc(AT), readings.timeline.known_after
    return [at, (at + known_after).alias(KNOWN) if known_after is not None else readings.time.utc(KNOWN)]


@dataclass(frozen=True, kw_only=True)
class KnownReadings:
    """A timeline with the readings that the rows of one partition may see."""

    readings: Readings
    origins: Sequence[Origin]
    told: pl.DataFrame
    """In the order in which they were read: of two with the same times the last counts."""

    @property
    def name(self) -> str:
        """Its declared name."""
        return self.readings.timeline.name

    @property
    def found_by(self) -> tuple[str, ...]:
        """Declared columns of the rows that it is found by."""
        return self.readings.timeline.found_by

    def join(self, rows: pl.DataFrame, keys: Sequence[pl.Series], times: pl.Series) -> Joined:
        """`rows` with the last reading of each one's key that it could know, and how many have none."""
        by, within = self.readings.by, self.readings.timeline.within
        found_by = [key.cast(pl.String).alias(name) for name, key in zip(by, keys, strict=True)]
        asked = pl.DataFrame([times.fill_null(NEVER).alias(SEEN), *found_by]).with_row_index(ROW).sort(SEEN)
        last = asked.join_asof(self._standing, on=SEEN, by=by or None, check_sortedness=False).sort(ROW)
        fresh = last.get_column(SEEN) - last.get_column(AT) <= within
        taken = [name for name in self.readings.schema.columns if name.startswith(f"{self.name}.")]
        values = last.select(pl.when(fresh).then(pl.col(name)).alias(name) for name in taken)
        told = {
            f"timeline {self.name}: {{}} see no reading": last.get_column(AT).null_count(),
            f"timeline {self.name}: {{}} see none that is new enough": int((~fresh).sum()),
        }
        return Joined(rows=rows.with_columns(values), told=told)

    @property
    def unusable(self) -> int:
        """How many readings no row can see."""
        return self.told.height - self._usable.height

    @cached_property
    def _usable(self) -> pl.DataFrame:
        return self.told.drop_nulls([AT, KNOWN, *self.readings.by])

    @cached_property
    def _standing(self) -> pl.DataFrame:
        """From each instant on: which reading of a key is the last that had happened and was known."""
        by = self.readings.by
        ranked = self._usable.sort(AT, KNOWN, maintain_order=True).with_row_index(NTH)
        seen = ranked.select(*by, NTH, pl.max_horizontal(AT, KNOWN).alias(SEEN)).sort(SEEN, NTH)
        newest = pl.col(NTH).cum_max()
        stands = seen.with_columns(newest.over(by) if by else newest).unique([*by, SEEN], keep="last")
        return stands.join(ranked.drop(KNOWN, *by), on=NTH).sort(SEEN)
