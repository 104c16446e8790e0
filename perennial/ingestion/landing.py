"""Ingestion: what a partition's file becomes when it lands.

Pure: the file has been read, the clock is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from perennial.casting import cast_partition
from perennial.declaration import Pipeline
from perennial.errors import SourceError
from perennial.ingestion.arrivals import fingerprint
from perennial.ingestion.joining import Beside, join_all, told_of

PART_ROWS = 1_000_000
"""Rows of a source that are worked on at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One partition as its source gave it, and where it came from."""

    partition: str
    rows: pl.DataFrame | pl.LazyFrame
    """A large parquet file is read only when its rows are asked for."""
    is_text: bool = False
    """Whether every value came as text, as from CSV, and has yet to be read as its declared kind."""
    uri: str
    sha256: str
    size: int
    """Bytes."""
    signature: str
    """Cheap to look at: the sensor compares it to see that a file is new or changed."""
    fetched_at: datetime
    notes: tuple[str, ...] = ()
    """What people should know of it, such as a lookup that could not be read anew."""
    beside: tuple[Beside, ...] = ()
    """The other sources that join its rows when it lands."""
    readings: Mapping[str, str] = field(default_factory=dict)
    """Of each timeline among them: what changes when its readings do, as `signature` says it of the rows."""
    received: pl.Series | None = None
    """When each row was received, where its source says so: before that nobody could know it."""

    @property
    def contents(self) -> dict[str, str]:
        """What its rows are made from, equal for equal files; a lookup's versions never change the past."""
        timelines = [one for one in self.beside if one.name in self.readings]
        read = {f"timeline {one.name}": fingerprint([origin.sha256 for origin in one.origins]) for one in timelines}
        return {"source": self.sha256, **read}

    @property
    def is_large(self) -> bool:
        """Whether the rows should be taken in parts."""
        return isinstance(self.rows, pl.LazyFrame)

    @property
    def frame(self) -> pl.DataFrame:
        """All rows at once."""
        return self.rows if isinstance(self.rows, pl.DataFrame) else pl.concat(self.parts())

    def parts(self) -> Iterator[pl.DataFrame]:
        """The rows in order, about PART_ROWS at a time; one part at least. Raises SourceError."""
        if isinstance(self.rows, pl.DataFrame):
            yield from self.rows.iter_slices(PART_ROWS) if self.rows.height else [self.rows]
            return
        try:
            yield from self.rows.collect_batches(chunk_size=PART_ROWS, maintain_order=True)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            found = str(error).splitlines()[0]
            damaged = SourceError("the source's file is damaged", where=self.partition, found=found, expected=self.uri)
            damaged.signature = self.signature
            raise damaged from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LandedPartition:
    """A partition in its declared types with its times, ready to be written."""

    partition: str
    frame: pl.DataFrame
    notes: tuple[str, ...]
    """What was cast, column by column; nothing was lost."""
    provenance: Mapping[str, Any]
    known_at: datetime
    contents: Mapping[str, str]
    """What it was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LandedRows:
    """Some rows of a partition in their declared types with their times."""

    frame: pl.DataFrame
    casts: tuple[str, ...]
    """What was cast, column by column."""
    told: Mapping[str, int]
    """What is to be said of rows that were joined, and of how many."""


def land(pipeline: Pipeline, arrival: Arrival) -> LandedPartition:
    """`arrival` cast to the declared schema, each row with its partition, event time and known-at.

    Raises SchemaSkew. The content depends on what was read alone: when it was fetched is provenance.
    """
    key = arrival.partition
    landed = land_rows(pipeline, arrival, arrival.frame)
    frame = landed.frame
    if arrival.received is not None:
        frame = frame.with_columns(pl.max_horizontal("known_at", arrival.received).alias("known_at"))
    notes = (*arrival.notes, *told_of(landed.told, frame.height))
    return LandedPartition(
        partition=key,
        frame=frame,
        notes=(*notes, *landed.casts),
        provenance=provenance(pipeline, arrival, rows=frame.height, notes=notes),
        known_at=pipeline.time.known_at(key),
        contents=arrival.contents,
    )


def land_rows(pipeline: Pipeline, arrival: Arrival, rows: pl.DataFrame) -> LandedRows:
    """Some rows of `arrival`, joined with what lies beside them, cast and with their times. Raises SchemaSkew."""
    key, is_text = arrival.partition, arrival.is_text
    where, timezone = f"{pipeline.name} {key}", pipeline.time.timezone
    joined = join_all(pipeline, rows, arrival.beside, where=where, is_text=is_text)
    cast = cast_partition(joined.rows, pipeline.schema, where=where, is_text=is_text, timezone=timezone)
    frame = cast.frame.with_columns(
        event_time=pipeline.time.utc(pipeline.time.event_time),
        known_at=_known_at(pipeline, pipeline.time.known_at(key)),
        partition=pl.lit(key),
    )
    return LandedRows(frame=frame, casts=cast.notes, told=joined.told)


def _known_at(pipeline: Pipeline, partition_known_at: datetime) -> pl.Expr:
    """Since when each row is known: what it says itself, else when its partition is."""
    instant = pl.lit(partition_known_at).cast(pl.Datetime("us", "UTC"))
    column = pipeline.time.row_known_at
    return instant if column is None else pl.coalesce(pipeline.time.utc(column), instant)


def provenance(pipeline: Pipeline, arrival: Arrival, *, rows: int, notes: Sequence[str]) -> dict[str, Any]:
    """Where a partition came from, for people and for the arrivals sensor."""
    beside = {one.name: [asdict(origin) for origin in one.origins] for one in arrival.beside}
    return {
        "uri": arrival.uri,
        "sha256": arrival.sha256,
        "bytes": arrival.size,
        "rows": rows,
        "signature": arrival.signature,
        "fetched_at": arrival.fetched_at.isoformat(),
        "licence": pipeline.source.licence,
        "owner": pipeline.owner,
        **({"beside": beside} if beside else {}),
        **({"readings": dict(arrival.readings)} if arrival.readings else {}),
        **({"notes": list(notes)} if notes else {}),
    }
