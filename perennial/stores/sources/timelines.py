"""Timelines: the readings of other sources beside a pipeline's rows, read where rows may see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from perennial.declaration import Pipeline
from perennial.errors import SourceError
from perennial.ingestion.arrivals import fingerprint
from perennial.ingestion.joining import Origin
from perennial.ingestion.landing import Arrival
from perennial.ingestion.timelines import KnownReadings, Readings, read_readings
from perennial.stores.sources import Sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One partition of a timeline, as it was read."""

    rows: pl.DataFrame
    origin: Origin
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timelines:
    """The timelines of pipelines; what neighbouring partitions share is read once."""

    sources: Sources
    _kept: dict[tuple[str, str], Part] = field(default_factory=dict, init=False)

    def look(self, pipeline: Pipeline, partitions: Sequence[str]) -> dict[str, dict[str, str]]:
        """Of each partition and timeline: what changes when its readings do, empty where they cannot be had."""
        found: dict[str, dict[str, str]] = {key: {} for key in partitions}
        for timeline in pipeline.timelines:
            readings = Readings(pipeline=pipeline, timeline=timeline)
            wanted = {key: readings.partitions(key) for key in partitions}
            there = self._there(readings, sorted({one for keys in wanted.values() for one in keys}))
            for key, keys in wanted.items():
                seen = {one: there[one] for one in keys if there and one in there}
                absent = there is None or set(readings.needed(key)) - set(seen)
                found[key][timeline.name] = "" if absent else fingerprint(seen)
        return found

    def _there(self, readings: Readings, keys: list[str]) -> dict[str, str] | None:
        """The signature of each that is there; None where they cannot be looked at, of which a landing tells why."""
        try:
            return self.sources.signatures(readings, keys)
        except SourceError:
            return None

    def join(self, pipeline: Pipeline, arrival: Arrival) -> Arrival:
        """`arrival` with the readings that its rows may see beside it.

        Raises SourceError where they cannot be read or a file that is needed is not there, and SchemaSkew.
        """
        beside, seen, notes = list(arrival.beside), dict(arrival.readings), list(arrival.notes)
        for timeline in pipeline.timelines:
            readings = Readings(pipeline=pipeline, timeline=timeline)
            parts = self._read(readings, arrival.partition, at=arrival.fetched_at)
            seen[timeline.name] = fingerprint({key: part.signature for key, part in parts.items()})
            told = pl.concat([part.rows for part in parts.values()]) if parts else readings.none
            known = KnownReadings(readings=readings, told=told, origins=[part.origin for part in parts.values()])
            beside.append(known)
            if known.unusable:
                notes.append(
                    f"timeline {timeline.name}: {known.unusable:,} readings without a time or key count as none"
                )
        return replace(arrival, beside=tuple(beside), readings=seen, notes=tuple(notes))

    def _read(self, readings: Readings, partition: str, *, at: datetime) -> dict[str, Part]:
        """What rows of the pipeline's `partition` may see, by the timeline's own partitions, oldest first."""
        keys = readings.partitions(partition)
        there = self.sources.signatures(readings, keys)
        for name, key in list(self._kept):
            if name == readings.name and key not in keys:
                del self._kept[name, key]
        wanted = [key for key in keys if key in there or key in readings.needed(partition)]
        return {key: self._part(readings, key, there.get(key), at=at) for key in wanted}

    def _part(self, readings: Readings, key: str, signature: str | None, *, at: datetime) -> Part:
        kept = self._kept.get((readings.name, key))
        if kept is not None and kept.signature == signature:
            return kept
        arrival = self.sources.read(readings, key, fetched_at=at)
        origin = Origin(uri=arrival.uri, sha256=arrival.sha256, licence=readings.source.licence)
        part = Part(rows=read_readings(readings, arrival), origin=origin, signature=arrival.signature)
        self._kept[readings.name, key] = part
        return part
