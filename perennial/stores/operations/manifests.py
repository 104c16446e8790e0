"""Manifests: which partition of which table is there, in which revision, made from what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from perennial.evaluation.evidence import plain
from perennial.graph.records import PartitionRecord
from perennial.stores.operations import tables
from perennial.stores.operations.database import Database

_KEY = ("pipeline", "table", "partition", "revision")
_FIELDS = tuple(PartitionRecord.__dataclass_fields__)
_REVISIONS = (
    sa.select(*(tables.partitions.c[name] for name in _FIELDS))
    .where(tables.partitions.c.pipeline == sa.bindparam("of"), tables.partitions.c.table == sa.bindparam("named"))
    .order_by(tables.partitions.c.partition, tables.partitions.c.revision)
)
"""Made once: to put the question together took as long as to have it answered."""


class Manifests(Database):
    """The manifest of each partition of each table in the lake."""

    def record_partitions(self, pipeline: str, table: str, records: Sequence[PartitionRecord], *, at: datetime) -> None:
        """Record all of `records` or none; one of a revision that is there replaces it."""
        if not records:
            return
        insert = (sqlite if self.is_sqlite else postgresql).insert(tables.partitions)
        changes = {column.name: column for column in insert.excluded if column.name not in _KEY}
        with self.writing(pipeline) as transaction:
            transaction.execute(
                insert.on_conflict_do_update(index_elements=_KEY, set_=changes),
                [_row(pipeline, table, record, at) for record in records],
            )

    def annotate_partitions(
        self, pipeline: str, table: str, records: Sequence[PartitionRecord], *, at: datetime
    ) -> None:
        """Record anew what is known of revisions whose rows stay; one that was written meanwhile keeps its record."""
        columns = tables.partitions.c
        with self.writing(pipeline) as transaction:
            for record in records:
                row = _row(pipeline, table, record, at)
                same = [columns[name] == row[name] for name in (*_KEY, "content_hash")]
                transaction.execute(sa.update(tables.partitions).where(*same).values(row))

    def partitions(self, pipeline: str, table: str) -> dict[str, PartitionRecord]:
        """The newest revision of each partition of a table, in order of partition."""
        return {key: revisions[max(revisions)] for key, revisions in self.revisions(pipeline, table).items()}

    def revisions(self, pipeline: str, table: str) -> dict[str, dict[int, PartitionRecord]]:
        """Every revision of each partition of a table, both in order."""
        found: dict[str, dict[int, PartitionRecord]] = {}
        with self.reading() as transaction:
            for row in transaction.execute(_REVISIONS, {"of": pipeline, "named": table}):
                record = PartitionRecord(**dict(zip(_FIELDS, row, strict=True)))
                found.setdefault(record.partition, {})[record.revision] = record
        return found


def _row(pipeline: str, table: str, record: PartitionRecord, at: datetime) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in PartitionRecord.__dataclass_fields__}
    return values | {
        "pipeline": pipeline,
        "table": table,
        "inputs": plain(record.inputs),
        "provenance": plain(record.provenance),
        "written_at": at,
    }
