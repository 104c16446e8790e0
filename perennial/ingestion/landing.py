"""Ingestion: what a partition's file becomes when it lands.

Pure: the file has been read, the clock is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from perennial.declaration import Pipeline
from perennial.schema import cast_partition


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One partition as its source gave it, and where it came from."""

    partition: str
    frame: pl.DataFrame
    uri: str
    sha256: str
    size: int
    """Bytes."""
    signature: str
    """Cheap to look at: the sensor compares it to see that a file is new or changed."""
    fetched_at: datetime


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
    cast = cast_partition(arrival.frame, pipeline.schema, where=f"{pipeline.name} {key}")
    known_at = pipeline.time.known_at(key)
    frame = cast.frame.with_columns(
        event_time=pipeline.time.utc(pipeline.time.event_time),
        known_at=pl.lit(known_at).cast(pl.Datetime("us", "UTC")),
        partition=pl.lit(key),
    )
    return LandedPartition(
        partition=key,
        frame=frame,
        notes=cast.notes,
        provenance=provenance(pipeline, arrival),
        known_at=known_at,
    )


def provenance(pipeline: Pipeline, arrival: Arrival) -> dict[str, Any]:
    """Where a partition came from, for people and for the arrivals sensor."""
    return {
        "uri": arrival.uri,
        "sha256": arrival.sha256,
        "bytes": arrival.size,
        "rows": arrival.frame.height,
        "signature": arrival.signature,
        "fetched_at": arrival.fetched_at.isoformat(),
        "licence": pipeline.source.licence,
        "owner": pipeline.owner,
    }
