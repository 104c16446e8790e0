"""Large: partitions that do not fit in memory land, are divided and transformed part by part.

The result is the one that the whole partition would have: content hashes do not depend on the parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from perennial.declaration import Pipeline
from perennial.errors import LandedMeanwhile
from perennial.graph.records import PartitionRecord
from perennial.ingestion.joining import told_of
from perennial.ingestion.landing import Arrival, land_rows, provenance
from perennial.ingestion.revisions import made_from
from perennial.stores.lake.deliveries import Deliveries
from perennial.stores.lake.tables import Outcome, Tables, derived, revisions_of
from perennial.validation.engine import import_beside
from perennial.validation.parts import PartitionJudge
from perennial.validation.verdicts import PartitionVerdict

LARGE_ROWS = 2_000_000
"""A partition of more rows goes through in parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Large:
    """The steps of one pipeline over partitions that are large."""

    tables: Tables
    pipeline: Pipeline

    def land(self, arrival: Arrival, *, revision: int, at: datetime) -> tuple[PartitionRecord, tuple[str, ...]]:
        """Write what arrived as a revision; its record, and the notes on what was cast.

        Raises SourceError, SchemaSkew or LandedMeanwhile, with nothing to be seen in the lake.
        """
        import_beside()  # the rows are judged next
        key, casts, told = arrival.partition, dict[str, None](), Counter[str]()
        with self.tables.writer(self.pipeline, "landed", key, revision) as written:
            for part in arrival.parts():
                landed = land_rows(self.pipeline, arrival, part)
                casts |= dict.fromkeys(landed.casts)
                told.update(landed.told)
                written.add(landed.frame)
            notes = (*arrival.notes, *told_of(told, written.rows))
            with self.tables.operations.holding(self.pipeline.table("landed")):
                self._check_free(arrival, revision)
                outcome = Deliveries.of(self.tables, self.pipeline).outcome(
                    key,
                    contents=arrival.contents,
                    provenance=provenance(self.pipeline, arrival, rows=written.rows, notes=notes),
                    arrived=arrival.fetched_at,
                    known_at=self.pipeline.time.known_at(key),
                    revision=revision,
                )
                record = self.tables.save_parts(self.pipeline, "landed", key, written, outcome, at=at)
                return record, (*notes, *casts)

    def _check_free(self, arrival: Arrival, revision: int) -> None:
        """Refuse a revision that another run has landed from other content since this one began."""
        key = arrival.partition
        record = self.tables.history(self.pipeline, "landed").get(key, {}).get(revision)
        if record and record.status == "ok" and not made_from(record, arrival.contents):
            raise LandedMeanwhile(
                "another run landed this partition meanwhile",
                where=f"{self.pipeline.name} {key}",
                found=f"revision {revision} of other content",
                hint="run it again: this delivery becomes the next revision",
            )

    def split(self, landed: PartitionRecord, *, at: datetime) -> tuple[PartitionVerdict, PartitionRecord]:
        """Divide a landed partition and judge it; the verdict, and the record of what is accepted."""
        pipeline, key = self.pipeline, landed.partition
        judge = PartitionJudge(key, pipeline.judged, pipeline.time)
        with (
            self.tables.writer(pipeline, "accepted", key, landed.revision) as accepted,
            self.tables.writer(pipeline, "quarantined", key, landed.revision) as quarantined,
        ):
            for part in self.tables.parts(pipeline, "landed", landed):
                split = judge.split(part)
                accepted.add(split.accepted)
                quarantined.add(split.quarantined)
            verdict = judge.verdict(accepted.written)
            outcome = derived(pipeline, "accepted", landed, blocked=verdict.reason)
            self.tables.save_parts(pipeline, "quarantined", key, quarantined, outcome, at=at)
            return verdict, self.tables.save_parts(pipeline, "accepted", key, accepted, outcome, at=at)

    def transform(
        self,
        name: str,
        parent: PartitionRecord,
        outcome: Outcome,
        apply: Callable[[pl.DataFrame], pl.DataFrame],
        *,
        at: datetime,
        columns: Sequence[str] | None = None,
    ) -> tuple[PartitionRecord, pl.DataFrame]:
        """Make a partition of table `name` from its accepted rows; its record, and the first part for a look.

        `apply` sees the `columns` of one part after the other.
        """
        first: pl.DataFrame | None = None
        with self.tables.writer(self.pipeline, name, parent.partition, parent.revision) as written:
            for part in self.tables.parts(self.pipeline, "accepted", parent, columns):
                made = apply(part)
                first = made if first is None else first
                written.add(made)
            record = self.tables.save_parts(self.pipeline, name, parent.partition, written, outcome, at=at)
        return record, pl.DataFrame() if first is None else first


def accepted_parts(
    tables: Tables, pipeline: Pipeline, accepted: Mapping[str, PartitionRecord], keys: Sequence[str], columns: list[str]
) -> Iterable[pl.DataFrame]:
    """The accepted rows of `keys` together, or those of a large partition part by part."""
    if is_large(accepted, keys):
        return tables.parts(pipeline, "accepted", accepted[keys[0]], columns)
    return [tables.read(pipeline, "accepted", revisions_of(accepted, keys), columns)]


def accepted_columns(
    tables: Tables, pipeline: Pipeline, accepted: Mapping[str, PartitionRecord], keys: Sequence[str]
) -> pl.LazyFrame:
    """The declared columns of the accepted rows of `keys` in memory, or those of a large partition when asked for."""
    columns, revisions = pipeline.schema.names, revisions_of(accepted, keys)
    if is_large(accepted, keys):
        return tables.lakehouse.scan(pipeline.table("accepted"), partitions=revisions, columns=columns)
    return tables.read(pipeline, "accepted", revisions, columns).lazy()


def is_large(records: Mapping[str, PartitionRecord], keys: Sequence[str]) -> bool:
    """Whether `keys` are one partition, and that one large."""
    return len(keys) == 1 and records[keys[0]].rows > LARGE_ROWS
