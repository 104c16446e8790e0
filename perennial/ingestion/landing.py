"""Ingestion: what a partition's file becomes when it lands.

Pure: the file has been read, the clock is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from perennial.declaration import Pipeline
from perennial.errors import SourceError
from perennial.schema import Cast, cast_partition


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
    """What people should know of it, such as keys that a lookup lacks."""
    lookups: Mapping[str, str] = field(default_factory=dict)
    """The sha256 of the newest version of each lookup that its rows were joined with."""
    received: pl.Series | None = None
    """When each row was received, where its source says so: before that nobody could know it."""

    @property
    def is_large(self) -> bool:
        """Whether the rows should be taken in parts."""
        return isinstance(self.rows, pl.LazyFrame)

    @property
    def frame(self) -> pl.DataFrame:
        """All rows at once."""
        return self.rows if isinstance(self.rows, pl.DataFrame) else pl.concat(self.parts())

    def parts(self, size: int = 1_000_000) -> Iterator[pl.DataFrame]:
        """The rows in order, about `size` at a time; one part at least. Raises SourceError."""
        if isinstance(self.rows, pl.DataFrame):
            yield from self.rows.iter_slices(size) if self.rows.height else [self.rows]
            return
        try:
            yield from self.rows.collect_batches(chunk_size=size, maintain_order=True)
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


def land(pipeline: Pipeline, arrival: Arrival) -> LandedPartition:
    """`arrival` cast to the declared schema, each row with its partition, event time and known-at.

    Raises SchemaSkew. The content depends on the file alone: when it was fetched is provenance.
    """
    key = arrival.partition
    cast = land_rows(pipeline, key, arrival.frame, is_text=arrival.is_text)
    frame = cast.frame
    if arrival.received is not None:
        frame = frame.with_columns(pl.max_horizontal("known_at", arrival.received).alias("known_at"))
    return LandedPartition(
        partition=key,
        frame=frame,
        notes=(*arrival.notes, *cast.notes),
        provenance=provenance(pipeline, arrival, rows=frame.height),
        known_at=pipeline.time.known_at(key),
    )


def land_rows(pipeline: Pipeline, key: str, rows: pl.DataFrame, *, is_text: bool = False) -> Cast:
    """Some rows of partition `key`, cast and with their times. Raises SchemaSkew."""
    cast = cast_partition(rows, pipeline.schema, where=f"{pipeline.name} {key}", is_text=is_text)
    frame = cast.frame.with_columns(
        event_time=pipeline.time.utc(pipeline.time.event_time),
        known_at=_known_at(pipeline, pipeline.time.known_at(key)),
        partition=pl.lit(key),
    )
    return Cast(frame=frame, notes=cast.notes)


def _known_at(pipeline: Pipeline, partition_known_at: datetime) -> pl.Expr:
    """Since when each row is known: what it says itself, else when its partition is."""
    instant = pl.lit(partition_known_at).cast(pl.Datetime("us", "UTC"))
    column = pipeline.time.row_known_at
    return instant if column is None else pl.coalesce(pipeline.time.utc(column), instant)


def provenance(pipeline: Pipeline, arrival: Arrival, *, rows: int) -> dict[str, Any]:
    """Where a partition came from, for people and for the arrivals sensor."""
    return {
        "uri": arrival.uri,
        "sha256": arrival.sha256,
        "bytes": arrival.size,
        "rows": rows,
        "signature": arrival.signature,
        "fetched_at": arrival.fetched_at.isoformat(),
        "licence": pipeline.source.licence,
        "owner": pipeline.owner,
        **({"lookups": dict(arrival.lookups)} if arrival.lookups else {}),
        **({"notes": list(arrival.notes)} if arrival.notes else {}),
    }
