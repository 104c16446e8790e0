"""Tables: a pipeline's partitioned tables in the lake, with a manifest of what each partition holds.

The manifest in the operations database is the truth about which partition is there, in which
revision, from which inputs. Rows are written first and recorded second, so that after a crash between
the two the partition counts as not written and is written again, to the same content. Writers of one
table wait for each other over both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.consistency import LAKE_COLUMNS
from perennial.content import content_hash
from perennial.declaration import Pipeline
from perennial.graph.lineage import STEPS, Standing, inputs_of
from perennial.graph.records import UNFINISHED, PartitionRecord
from perennial.stores.lake.acknowledgements import acknowledged
from perennial.stores.lake.lakehouse import Lakehouse, by_partition
from perennial.stores.lake.scanning import Partitions
from perennial.stores.lake.slots import PART_ROWS, SlotWriter

if TYPE_CHECKING:
    from perennial.stores.operations import Operations

ROWS = ("landed", "accepted", "quarantined", "features", "labels")
"""Tables with a row for each row of the source, whose columns the declaration names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known of a saved partition beside its rows."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    known_at: datetime | None = None
    blocked: str | None = None
    """Why nothing downstream may read it, though its rows are kept."""
    revision: int | None = None
    """The revision to write. None: of a table that is made from another the newest; else the next one if the
    content changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The lake's tables and their manifest.

    The data tables of `STEPS` keep every revision of a partition beside the others; of other tables the
    newest revision replaces the one before.
    """

    lakehouse: Lakehouse
    operations: Operations
    online_place: str
    """Which online store the settings name: what was brought to another is not online."""

    def save(
        self, pipeline: Pipeline, name: str, rows: pl.DataFrame, outcomes: Mapping[str, Outcome], *, at: datetime
    ) -> dict[str, PartitionRecord]:
        """Write the partitions named by `outcomes`, those of one revision in one commit, and record all at once.

        A partition whose content is what it was makes no new revision and is not written. Returns
        the record of each, as it now stands.
        """
        with self.operations.holding(pipeline.table(name)):
            history = self.operations.revisions(pipeline.name, name)
            parts = by_partition(rows)
            hashes = {key: content_hash(parts.get(key, rows.clear())) for key in outcomes}
            numbers = {key: _number(name, o, history.get(key, {}), hashes[key]) for key, o in outcomes.items()}
            before = {key: history.get(key, {}).get(number) for key, number in numbers.items()}
            changed = [key for key in outcomes if _hash_of(before[key]) != hashes[key]]
            self._announce(pipeline, name, {key: numbers[key] for key in changed if history.get(key)}, before, at=at)
            version = self._write(pipeline, name, parts, {key: numbers[key] for key in changed}, rows.clear())
            records = {
                key: _record_of(
                    key,
                    numbers[key],
                    outcome,
                    content_hash=hashes[key],
                    rows=parts[key].height if key in parts else 0,
                    table_version=version if key in changed else _version_of(before[key]),
                )
                for key, outcome in outcomes.items()
            }
            self.operations.record_partitions(pipeline.name, name, list(records.values()), at=at)
        return records

    def writer(self, pipeline: Pipeline, name: str, key: str, revision: int) -> SlotWriter:
        """Writes a large partition of a data table part by part, for `save_parts`."""
        return SlotWriter(self.lakehouse, pipeline.table(name), key, revision)

    def save_parts(
        self, pipeline: Pipeline, name: str, key: str, written: SlotWriter, outcome: Outcome, *, at: datetime
    ) -> PartitionRecord:
        """Let what was `written` be a revision of `key`, and record it; equal content is not written again."""
        number = outcome.revision or 1
        with self.operations.holding(pipeline.table(name)):
            before = self.operations.revisions(pipeline.name, name).get(key, {}).get(number)
            same = _hash_of(before) == written.content_hash
            if same:
                written.discard()
            elif before:
                self._announce(pipeline, name, {key: number}, {key: before}, at=at)
            record = _record_of(
                key,
                number,
                outcome,
                content_hash=written.content_hash,
                rows=written.rows,
                table_version=_version_of(before) if same else written.commit(),
            )
            self.operations.record_partitions(pipeline.name, name, [record], at=at)
        return record

    def parts(
        self, pipeline: Pipeline, name: str, record: PartitionRecord, columns: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """The rows of one revision of a data table's partition, a part at a time."""
        slot = {record.partition: record.revision}
        for part in self.lakehouse.parts(pipeline.table(name), slot, rows=PART_ROWS, columns=columns):
            yield _without_former(part.drop("revision", strict=False), pipeline)

    def block(self, pipeline: Pipeline, name: str, key: str, outcome: Outcome, *, at: datetime) -> None:
        """Record that `key` could not be renewed.

        Of what landed that is a revision without rows, beside those that stood before; of what is made from
        it, the newest revision keeps its rows and is not to be read.
        """
        with self.operations.holding(pipeline.table(name)):
            history = self.operations.revisions(pipeline.name, name).get(key, {})
            number = _number(name, outcome, history, "")
            before = history.get(number)
            kept = _record_of(
                key,
                number,
                outcome,
                content_hash=_hash_of(before) or "",
                rows=before.rows if before else 0,
                table_version=_version_of(before),
            )
            record = replace(kept, status="blocked")
            self.operations.record_partitions(pipeline.name, name, [record], at=at)

    def records(self, pipeline: Pipeline, name: str) -> dict[str, PartitionRecord]:
        """The newest record of each partition of a table."""
        return self.operations.partitions(pipeline.name, name)

    def history(self, pipeline: Pipeline, name: str) -> dict[str, dict[int, PartitionRecord]]:
        """The record of every revision of each partition of a table."""
        return self.operations.revisions(pipeline.name, name)

    def standing(self, pipeline: Pipeline) -> Standing:
        """What stands in the data tables of `pipeline` now, and what is out of date."""
        return Standing(
            pipeline=pipeline,
            load=lambda name: self.history(pipeline, name),
            acknowledged=lambda: acknowledged(self.operations, pipeline),
            online_place=self.online_place,
        )

    def known(self, pipeline: Pipeline, name: str, at: datetime) -> dict[str, PartitionRecord]:
        """The record of each partition of data table `name` as it was known at the instant `at`.

        Of each partition the last landed revision known by then counts; one whose `name` is not made
        for that revision is left out.
        """
        standing, history = self.standing(pipeline), self.history(pipeline, name)
        numbers = {key: standing.known(key, at) for key in history}
        return {key: history[key][number] for key, number in numbers.items() if number in history[key]}

    def labels_until(self, pipeline: Pipeline, as_of: str) -> int:
        """The rows of table `labels` in all partitions up to and including `as_of` that are ok.

        A blocked partition counts nothing, though its rows are kept. A label counts with the partition of
        its event, also when it became known only after the as-of instant.
        """
        labels = self.records(pipeline, "labels")
        return sum(record.rows for key, record in labels.items() if key <= as_of and record.status == "ok")

    def read(
        self, pipeline: Pipeline, name: str, partitions: Partitions, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """The rows of `partitions`, ordered by partition and, within one, as they were written.

        Of a data table, keys mean the newest revision of each; a mapping names the revision that is meant.
        """
        if name in STEPS and not isinstance(partitions, Mapping):
            newest = self.records(pipeline, name)
            partitions = {key: newest[key].revision for key in partitions if key in newest}
        rows = self.lakehouse.read(pipeline.table(name), partitions=partitions, columns=columns)
        rows = rows.drop("revision", strict=False)
        return _without_former(rows, pipeline) if name in ROWS else rows

    def _announce(
        self,
        pipeline: Pipeline,
        name: str,
        numbers: Mapping[str, int],
        before: Mapping[str, PartitionRecord | None],
        *,
        at: datetime,
    ) -> None:
        """Record of rows that are about to be replaced that they are: a writer that dies leaves no old hash on them."""
        taken = {key: number for key, number in numbers.items() if name not in STEPS or before[key]}
        records = []
        for key, number in taken.items():
            stood = before[key]
            outcome = Outcome(
                provenance=stood.provenance if stood else {},
                known_at=stood.known_at if stood else None,
                blocked=UNFINISHED,
            )
            records.append(_record_of(key, number, outcome, content_hash="", rows=0, table_version=None))
        self.operations.record_partitions(pipeline.name, name, records, at=at)

    def _write(
        self,
        pipeline: Pipeline,
        name: str,
        parts: Mapping[str, pl.DataFrame],
        changed: Mapping[str, int],
        blank: pl.DataFrame,
    ) -> int | None:
        table = pipeline.table(name)
        if not changed:
            return self.lakehouse.version(table)
        kept = {key: part for key, part in parts.items() if key in changed}
        partitions = changed if name in STEPS else list(changed)
        return self.lakehouse.replace(table, kept, partitions=partitions, blank=blank)


def derived(
    pipeline: Pipeline,
    name: str,
    parent: PartitionRecord,
    *,
    blocked: str | None = None,
    across: Mapping[str, str] | None = None,
) -> Outcome:
    """The outcome of a partition of table `name` that was made from `parent`, for the same revision."""
    return Outcome(
        inputs=inputs_of(pipeline, name, parent.content_hash, across=across),
        known_at=parent.known_at,
        blocked=blocked,
        revision=parent.revision,
    )


def revisions_of(records: Mapping[str, PartitionRecord], keys: Iterable[str]) -> dict[str, int]:
    """The revision that each of `records` is of, for `keys`."""
    return {key: records[key].revision for key in keys}


def _without_former(rows: pl.DataFrame, pipeline: Pipeline) -> pl.DataFrame:
    """`rows` without the columns of an older declaration, which stay in the table and are null in newer rows."""
    declared = {*pipeline.schema.names, *(feature.name for feature in pipeline.checked_features), *LAKE_COLUMNS}
    former = [n for n in rows.columns if n not in declared and rows.height and rows[n].null_count() == rows.height]
    return rows.drop(former)


def _number(name: str, outcome: Outcome, history: Mapping[int, PartitionRecord], content: str) -> int:
    """The revision to write: the named one, else the next if the content is not that of the newest."""
    if outcome.revision is not None:
        return outcome.revision
    newest = max(history, default=0)
    if name in STEPS and STEPS[name].parent:
        return newest or 1
    stays = bool(newest) and (history[newest].content_hash == content or history[newest].is_empty)
    return newest if stays else newest + 1


def _record_of(
    key: str, number: int, outcome: Outcome, *, content_hash: str, rows: int, table_version: int | None
) -> PartitionRecord:
    """The record of revision `number` of `key`, as its outcome and what stands in the lake say it."""
    return PartitionRecord(
        partition=key,
        revision=number,
        content_hash=content_hash,
        rows=rows,
        status="blocked" if outcome.blocked else "ok",
        reason=outcome.blocked,
        inputs=dict(outcome.inputs),
        provenance=dict(outcome.provenance),
        table_version=table_version,
        known_at=outcome.known_at,
    )


def _hash_of(record: PartitionRecord | None) -> str | None:
    return record.content_hash if record else None


def _version_of(record: PartitionRecord | None) -> int | None:
    return record.table_version if record else None
