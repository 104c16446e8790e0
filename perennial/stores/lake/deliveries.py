"""Deliveries: what a source delivered becomes a revision of its partition.

Reads what stands in the lake and leaves the decision to `perennial.ingestion.revisions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from perennial.content import content_hash
from perennial.declaration import Pipeline
from perennial.graph.lineage import inputs_of
from perennial.graph.records import PartitionRecord
from perennial.ingestion.landing import LandedPartition
from perennial.ingestion.lateness import first_arrival
from perennial.ingestion.revisions import Place, Revision, place_of, revise
from perennial.stores.lake.tables import Outcome, Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """The partitions of a pipeline as they landed before a run began."""

    tables: Tables
    pipeline: Pipeline
    landed: Mapping[str, Mapping[int, PartitionRecord]]
    accepted: Mapping[str, Mapping[int, PartitionRecord]]

    @classmethod
    def of(cls, tables: Tables, pipeline: Pipeline) -> Deliveries:
        """What has landed of `pipeline` and what of it was accepted."""
        return cls(
            tables=tables,
            pipeline=pipeline,
            landed=tables.history(pipeline, "landed"),
            accepted=tables.history(pipeline, "accepted"),
        )

    def place(self, key: str, contents: Mapping[str, str], *, arrived: datetime) -> Place:
        """Where a delivery of partition `key` belongs among its revisions."""
        history = self.landed.get(key, {})
        accepted = {number for number, record in self.accepted.get(key, {}).items() if record.status == "ok"}
        return place_of(history, contents, accepted=accepted, arrived=arrived)

    def arrived(self, key: str, *, now: datetime | None) -> str | None:
        """When partition `key` first arrived, for its record: `now` unless a delivery of it came before."""
        first = first_arrival(self.landed.get(key, {}).values()) or now
        return first.isoformat() if first else None

    def has_landed(self, key: str) -> bool:
        """Whether some revision of partition `key` stands."""
        return any(record.status == "ok" for record in self.landed.get(key, {}).values())

    def outcome(
        self,
        key: str,
        *,
        contents: Mapping[str, str],
        provenance: Mapping[str, Any],
        arrived: datetime,
        known_at: datetime,
        revision: int,
    ) -> Outcome:
        """What is recorded of a delivery of partition `key` that becomes `revision`."""
        return Outcome(
            inputs={**inputs_of(self.pipeline, "landed", contents["source"]), **contents},
            provenance={**provenance, "arrived_at": self.arrived(key, now=arrived)},
            known_at=known_at,
            revision=revision,
        )

    def revise(self, landed: LandedPartition, *, arrived: datetime) -> Revision:
        """The revision that the delivered partition is."""
        key = landed.partition
        history = self.landed.get(key, {})
        place = self.place(key, landed.contents, arrived=arrived)
        if place.base is None:
            newest = max(history, default=0)
            equal = bool(newest) and history[newest].content_hash == content_hash(landed.frame)
            return Revision(number=newest if equal else place.number, frame=landed.frame, known_at=landed.known_at)
        base = self.tables.read(self.pipeline, "landed", {key: place.base})
        revision = revise(self.pipeline, landed, place, base)
        if revision.number == place.base:
            known_at = history[place.base].known_at or revision.known_at
            return Revision(number=place.base, frame=revision.frame, known_at=known_at)
        return revision

    def rows(self, key: str) -> int:
        """The rows of the newest revision of `key`: about how many it will have again."""
        history = self.landed.get(key, {})
        return history[max(history)].rows if history else 0
