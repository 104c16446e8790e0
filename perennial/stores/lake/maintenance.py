"""Maintenance of the lake: small files become few, and old versions go, but for those that a model holds.

Safe beside readers and writers: a compaction takes its turn among the writers of a table, for one slot at a
time, and leaves what it cannot have for next time; old files go only when the version that needed them last
is older than the retention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import sqlalchemy as sa

from perennial.deployment import Version
from perennial.errors import BundleError, PerennialError, VersionHeld
from perennial.maintenance import Done, Hold, Keep, Needs, Report, check_nothing_held_goes, files_by_slot, holds_of
from perennial.stores.lake import large
from perennial.stores.lake.columns import PROPERTIES
from perennial.stores.lake.compaction import keeps_order, merge_files, rows_by_slot
from perennial.stores.lake.tables import Tables
from perennial.stores.models.bundles import BundleStore
from perennial.stores.operations import Operations
from perennial.stores.operations.tables import partitions
from perennial.stores.production.inference_log import TABLE as INFERENCE_LOG

if TYPE_CHECKING:
    from deltalake import DeltaTable

RETIREMENT = "retirement"
"""Kind of the ledger's rows by which a person gives up a model's training data; the subject is its number."""
TARGET_BYTES = 100 * 2**20
"""Size that a compacted file may reach; Delta's own default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeCare:
    """Compaction and retention of the tables of a lake."""

    tables: Tables
    bundles: BundleStore
    keep: Keep = field(default_factory=Keep)

    def pipelines(self) -> list[str]:
        """Every pipeline that has a partition or a version, declared today or not."""
        with self.tables.operations.reading() as transaction:
            return sorted(transaction.execute(sa.select(partitions.c.pipeline).distinct()).scalars())

    def maintain(self, pipeline: str, *, dry_run: bool) -> Report:
        """Compact each table of `pipeline`, then forget its old versions; say what was or would be done.

        What a registered model holds stays. A table for which that cannot be made sure is left alone,
        and named under `refused`.
        """
        tables = [table for table in self._tables(pipeline) if self.tables.lakehouse.exists(table)]
        if not dry_run:
            for table in tables:
                self._try(table, _keep_log)
        report = sum((self.compact(table, dry_run=dry_run) for table in tables), Report())
        try:
            holds = self.holds(pipeline)
        except VersionHeld as error:
            return report + Report(refused={f"old versions of {pipeline}": str(error)})
        report += Report(holds=holds)
        for table in tables:
            report += self._forget(table, holds, dry_run=dry_run)
        return report

    def holds(self, pipeline: str) -> list[Hold]:
        """The table versions that registered models of `pipeline` need. Raises VersionHeld when one does not say."""
        versions = self.tables.operations.versions(pipeline)
        needs = [self._needs(pipeline, version) for version in versions]
        return holds_of(pipeline, needs, retired(self.tables.operations, pipeline))

    def compact(self, table: str, *, dry_run: bool) -> Report:
        """Make few files of the many small ones of each partition; the rows and their order stay.

        A writer that holds the table, or commits without, wins, and the table is left for next time.
        """
        delta = self._open(table)
        folders = self._scattered(delta)
        small = sum(folders.values())
        if not small:
            return Report()
        done = Done(kind="compaction", where=table, items=small, size=0, note="small files into few")
        if dry_run:
            return Report(done=[done])
        try:
            note = self._try(table, lambda fresh: self._merge(table, fresh))
        except (_conflict(), PerennialError) as error:
            return Report(refused={table: f"writers were busy, it is compacted next time: {error}"})
        return Report(done=[Done(kind="compaction", where=table, items=small, size=0, note=note)])

    def _scattered(self, delta: DeltaTable) -> dict[str, int]:
        """The small files of each slot that has too many; a large slot in order stays as it is."""
        rows = rows_by_slot(delta) if keeps_order(delta) else {}
        return {
            folder: count
            for folder, count in _small_files(delta).items()
            if count >= self.keep.small_files and rows.get(folder, 0) <= large.LARGE_ROWS
        }

    def _merge(self, table: str, delta: DeltaTable) -> str:
        """Make one file of a slot's; delta-rs may where the order of the rows says nothing.

        Whatever slot a commit changes, Delta refuses those that were begun before it: so writers wait.
        """
        if keeps_order(delta):
            folders = self._scattered(delta)
            for folder in folders:
                with self.tables.operations.holding(table):
                    now = self._open(table)
                    if folder in self._scattered(now):
                        merge_files(self.tables.lakehouse, table, now, folder)
            return f"{sum(folders.values())} files into {len(folders)}"
        with self.tables.operations.holding(table):
            merged = self._open(table).optimize.compact(target_size=TARGET_BYTES)
        return f"{merged['numFilesRemoved']} files into {merged['numFilesAdded']}"

    def vacuum(
        self, table: str, holds: Sequence[Hold], *, older_than: timedelta | None = None, dry_run: bool = True
    ) -> Report:
        """Remove the files that no version needs but such as are older than `older_than`, and that no one holds.

        Files that a killed writer left and no version ever named go too. Raises VersionHeld rather than
        remove a file of a held version, or when a held version cannot be opened.
        """
        delta = self._open(table)
        held = self._held_files(table, {hold.version for hold in holds if hold.table == table}, holds)
        span = self.keep.old_versions if older_than is None else older_than
        options: dict[str, Any] = {
            "retention_hours": int(span / timedelta(hours=1)),
            "enforce_retention_duration": False,  # ours is the policy's, also where it is shorter than Delta's week
            "full": True,  # also what no commit names: the leftovers of killed writers
            "keep_versions": sorted(held) or None,
        }
        doomed = {unquote(path) for path in delta.vacuum(dry_run=True, **options)}
        check_nothing_held_goes(table, doomed, held, holds)
        if not doomed:
            return Report()
        sizes = _sizes(delta, doomed)
        if not dry_run:
            self._try(table, lambda fresh: fresh.vacuum(dry_run=False, **options))
        return Report(done=[Done(kind="old versions", where=table, items=len(doomed), size=sizes)])

    def _try(self, table: str, change: Callable[[DeltaTable], Any], *, again: int = 2) -> Any:
        """What `change` answers of the newest version; one that lost against a writer is tried `again` times."""
        try:
            return change(self._open(table))
        except _conflict():
            if not again:
                raise
            return self._try(table, change, again=again - 1)

    def _forget(self, table: str, holds: Sequence[Hold], *, dry_run: bool) -> Report:
        try:
            return self.vacuum(table, holds, dry_run=dry_run)
        except (VersionHeld, _conflict()) as error:
            return Report(refused={table: str(error)})

    def _needs(self, pipeline: str, version: Version) -> Needs:
        """What `version` was made from: its bundle's manifest says, its attributes where that cannot be read."""
        try:
            training_set: Mapping[str, Any] = self.bundles.get(version.bundle_sha256).manifest["training_set"]
        except (BundleError, KeyError):
            training_set = {}
        named = training_set.get("table_versions") or version.attributes.get("table_versions")
        if named is not None:
            named = {**named, **self._training_set_table(pipeline, training_set.get("content_hash"))}
        return Needs(number=version.number, as_of=version.as_of, table_versions=named)

    def _training_set_table(self, pipeline: str, content_hash: str | None) -> dict[str, int]:
        """The version of table `training_set` that holds the rows of this content hash."""
        for revisions in self.tables.operations.revisions(pipeline, "training_set").values():
            for record in revisions.values():
                if record.provenance.get("content_hash") == content_hash and record.table_version is not None:
                    return {"training_set": record.table_version}
        return {}

    def _held_files(self, table: str, versions: Iterable[int], holds: Sequence[Hold]) -> dict[int, set[str]]:
        """The files of each of `versions`. Raises VersionHeld when one cannot be opened or lacks a file."""
        return {version: self._files(table, version, holds) for version in versions}

    def _files(self, table: str, version: int, holds: Sequence[Hold]) -> set[str]:
        from deltalake.exceptions import DeltaError

        try:
            return {path for path, _ in _files(self._open(table, version))}
        except (DeltaError, OSError) as error:
            holders = ", ".join(hold.holder for hold in holds if (hold.table, hold.version) == (table, version))
            raise VersionHeld(
                f"version {version}, held by {holders}, cannot be opened",
                where=table,
                found=str(error).splitlines()[0],
                expected="a version of the table",
                hint="bring the table's log back from a copy, or retire the model",
            ) from error

    def _tables(self, pipeline: str) -> list[str]:
        query = sa.select(partitions.c.table).where(partitions.c.pipeline == pipeline).distinct()
        with self.tables.operations.reading() as transaction:
            names = set(transaction.execute(query).scalars()) | {INFERENCE_LOG}
        return [f"{pipeline}/{name}" for name in sorted(names)]

    def _open(self, table: str, version: int | None = None) -> DeltaTable:
        from deltalake import DeltaTable

        lakehouse = self.tables.lakehouse
        return DeltaTable(lakehouse.path(table), version=version)


def retired(operations: Operations, pipeline: str) -> set[int]:
    """The versions whose training data a person has given up."""
    return {int(entry.subject) for entry in operations.ledger(pipeline, limit=None, kind=RETIREMENT)}


def retire_version(
    operations: Operations, pipeline: str, number: int, *, actor: str, reason: str, at: datetime
) -> str | None:
    """Give up the training data of a version, in the ledger; else why not. Its bundle stays."""
    known = [version.number for version in operations.versions(pipeline)]
    champion = operations.champion(pipeline)
    if number not in known:
        return f"there are versions {', '.join(map(str, known)) or 'none'}"
    if champion is not None and champion.number == number:
        return "it serves now"
    operations.append_decision(pipeline, RETIREMENT, str(number), reason, at=at, actor=actor)
    return None


def _small_files(delta: DeltaTable) -> dict[str, int]:
    return files_by_slot(_files(delta), TARGET_BYTES // 2)


def _files(delta: DeltaTable) -> list[tuple[str, int]]:
    """Path within the table, and bytes, of each file of this version."""
    import pyarrow as pa

    actions = pa.table(delta.get_add_actions(flatten=True))
    return [
        (unquote(path), size)
        for path, size in zip(*(actions[n].to_pylist() for n in ("path", "size_bytes")), strict=True)
    ]


def _sizes(delta: DeltaTable, paths: Iterable[str]) -> int:
    """Bytes of `paths` within the table, wherever it lies."""
    from deltalake.fs import DeltaStorageHandler

    found = DeltaStorageHandler.from_table(delta._table).get_file_info(list(paths))  # noqa: SLF001 - the only way to a store's sizes
    return sum(int(info.size or 0) for info in found)


def _keep_log(delta: DeltaTable) -> None:
    """Let the table's log be kept whole, since without the commits that made it no version can be read, and small."""
    if {name: delta.metadata().configuration.get(name) for name in PROPERTIES} != PROPERTIES:
        delta.alter.set_table_properties(dict(PROPERTIES))


def _conflict() -> type[Exception]:
    from deltalake.exceptions import CommitFailedError

    return CommitFailedError
