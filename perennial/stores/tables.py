"""Tables: a pipeline's partitioned tables in the lake, with a manifest of what each partition holds.

The manifest in the operations database is the truth about which partition is there, in which
revision, from which inputs. Rows are written first and recorded second, so that after a crash between
the two the partition counts as not written and is written again, to the same content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from perennial.content import content_hash
from perennial.declaration import Pipeline
from perennial.stores.lakehouse import Lakehouse
from perennial.stores.operations import Operations, PartitionRecord

Inputs = Mapping[str, Mapping[str, str]]
"""By partition: the content hashes of what it was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known of a saved partition beside its rows."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    known_at: datetime | None = None
    blocked: str | None = None
    """Why nothing downstream may read it, though its rows are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The lake's tables and their manifest."""

    lakehouse: Lakehouse
    operations: Operations

    def save(
        self, pipeline: Pipeline, name: str, rows: pl.DataFrame, outcomes: Mapping[str, Outcome], *, at: datetime
    ) -> dict[str, PartitionRecord]:
        """Write the partitions named by `outcomes` in one commit and record each.

        A partition whose content is what it was makes no new revision and is not written. Returns
        the record of each, as it now stands.
        """
        before = self.operations.partitions(pipeline.name, name)
        parts = _by_partition(rows)
        hashes = {key: content_hash(parts.get(key, rows.clear())) for key in outcomes}
        changed = [key for key in outcomes if key not in before or before[key].content_hash != hashes[key]]
        version = self._write(pipeline.table(name), rows, changed)
        records = {
            key: PartitionRecord(
                partition=key,
                revision=(before[key].revision if key in before else 0) + (key in changed),
                content_hash=hashes[key],
                rows=parts[key].height if key in parts else 0,
                status="blocked" if outcome.blocked else "ok",
                reason=outcome.blocked,
                inputs=dict(outcome.inputs),
                provenance=dict(outcome.provenance),
                table_version=version if key in changed else before[key].table_version,
                known_at=outcome.known_at,
            )
            for key, outcome in outcomes.items()
        }
        self.operations.record_partitions(pipeline.name, name, list(records.values()), at=at)
        return records

    def block(self, pipeline: Pipeline, name: str, key: str, outcome: Outcome, *, at: datetime) -> None:
        """Record that `key` could not be renewed; the rows it held before stay, and are not to be read."""
        before = self.operations.partitions(pipeline.name, name).get(key)
        record = PartitionRecord(
            partition=key,
            revision=before.revision if before else 0,
            content_hash=before.content_hash if before else "",
            rows=before.rows if before else 0,
            status="blocked",
            reason=outcome.blocked,
            inputs=dict(outcome.inputs),
            provenance=dict(outcome.provenance),
            table_version=before.table_version if before else None,
            known_at=outcome.known_at,
        )
        self.operations.record_partitions(pipeline.name, name, [record], at=at)

    def records(self, pipeline: Pipeline, name: str) -> dict[str, PartitionRecord]:
        """The newest record of each partition of a table."""
        return self.operations.partitions(pipeline.name, name)

    def labels_until(self, pipeline: Pipeline, as_of: str) -> int:
        """The rows of table `labels` in all partitions up to and including `as_of` that are ok.

        A blocked partition counts nothing, though its rows are kept. A label counts with the partition of
        its event, also when it became known only after the as-of instant.
        """
        labels = self.records(pipeline, "labels")
        return sum(record.rows for key, record in labels.items() if key <= as_of and record.status == "ok")

    def read(
        self, pipeline: Pipeline, name: str, partitions: Sequence[str], columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """The rows of `partitions`, ordered by partition and, within one, as they were written."""
        return self.lakehouse.read(pipeline.table(name), partitions=partitions, columns=columns)

    def _write(self, table: str, rows: pl.DataFrame, changed: Sequence[str]) -> int | None:
        if not changed:
            return self.lakehouse.version(table)
        kept = rows.filter(pl.col("partition").is_in(changed))
        return self.lakehouse.overwrite(table, kept, partitions=changed)


def _by_partition(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {
        str(key): part for (key,), part in rows.partition_by("partition", as_dict=True, maintain_order=True).items()
    }
