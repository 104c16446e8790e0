"""Lakehouse: Delta tables cut by a column `partition`, written atomically, read with Polars.

A table with a column `revision` is cut by that too: each revision of a partition is a slot of its own,
which stays beside the others until the same slot is written again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from perennial.errors import PerennialError
from perennial.stores.lake import opened
from perennial.stores.lake.columns import check_types, create_table, widen
from perennial.stores.lake.files import File, Folder, refuse_if_full
from perennial.stores.lake.scanning import Partitions, is_plain, scan_slots

if TYPE_CHECKING:
    from deltalake import DeltaTable

Slots = Sequence[Mapping[str, str]]
"""Slots of one revision, each by the values of the columns that its table is cut by."""
ATTEMPTS = 5
"""How often a commit is tried: writers and compaction wait for each other; what else may be in its way is brief."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lakehouse:
    """The tables under `root`; a table is named `pipeline/table`."""

    root: str

    def path(self, table: str) -> str:
        """Where `table` lies; also its `dagster/uri`."""
        return f"{self.root.rstrip('/')}/{table}"

    def folder(self, table: str) -> Folder:
        """Where the files of `table` lie."""
        return Folder(self.path(table))

    def version(self, table: str) -> int | None:
        """The newest version of `table`, or None before its first write."""
        found = opened.take(self.path(table)) or self._find(table)
        return None if found is None else self._left(table, found)

    def exists(self, table: str) -> bool:
        """Whether `table` was ever written."""
        from deltalake import DeltaTable

        return bool(DeltaTable.is_deltatable(self.path(table)))

    def overwrite(self, table: str, frame: pl.DataFrame, *, partitions: Partitions) -> int:
        """`replace` by the rows of one frame."""
        rows = frame.drop("revision", strict=False)
        return self.replace(table, by_partition(rows), partitions=partitions, blank=rows.clear())

    def replace(
        self, table: str, parts: Mapping[str, pl.DataFrame], *, partitions: Partitions, blank: pl.DataFrame
    ) -> int:
        """Replace `partitions` of `table`, or one revision of each, by `parts`, whose columns are those of `blank`.

        Returns the table's version.

        Guarantees that a reader sees all of them before or all of them after; where they are of several revisions,
        all of one revision. A partition without a part is emptied; a part of another partition is an error. A new
        column is null in the rows that were written before it. Writers at the same time are serialised by Delta;
        one that lost tries again. Raises SchemaSkew for a column of another type than the table's.
        """
        stray = set(parts) - set(partitions)
        if stray:
            raise ValueError(f"{table}: rows of partitions {sorted(stray)} in a write of {list(partitions)}")
        blank = blank.with_columns(revision=pl.lit(None, pl.Int32)) if isinstance(partitions, Mapping) else blank
        delta, groups = self._prepare(table, blank), _slots(partitions)
        there = [(slot, parts[slot["partition"]]) for slots in groups for slot in slots if slot["partition"] in parts]
        files = {file.slot["partition"]: file for file in self.folder(table).write_all(there)}
        for slots in groups:
            held = [files[slot["partition"]] for slot in slots if slot["partition"] in files]
            self._commit(table, delta, blank, slots, held)
        return self._left(table, delta)

    def replace_files(self, table: str, blank: pl.DataFrame, slot: Mapping[str, str], files: Sequence[File]) -> int:
        """Let `files`, which lie in the table's folder, be all that `slot` holds, in one commit.

        `blank` is a frame without rows of the table's columns. Returns the table's version. A commit that lost
        against another is tried again.
        """
        delta = self._prepare(table, blank)
        self._commit(table, delta, blank, [slot], files)
        return self._left(table, delta)

    def parts(
        self, table: str, slot: Mapping[str, int], *, rows: int, columns: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """The rows of one slot, as they were written, about `rows` at a time; one part at least.

        No row of several is a part or a chunk alone: Polars 2.1 computes its quotients to another last digit.
        """
        scanned = self.scan(table, partitions=slot, columns=columns)
        held = scanned.head(0).collect()
        for part in scanned.collect_batches(chunk_size=rows, maintain_order=True):
            if min(held.height, part.height) < 2:
                held = held.vstack(part)
            else:
                yield held.rechunk()
                held = part
        yield held.rechunk()

    def scan(
        self,
        table: str,
        *,
        partitions: Partitions | None = None,
        version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.LazyFrame:
        """The rows of `table`, of the given partitions only; unordered between partitions."""
        return _only(self._scan(self._open(table, version)), partitions, columns)

    def read(self, table: str, *, partitions: Partitions, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The rows of `partitions`, ordered by partition and, within one, as they were written."""
        path = self.path(table)
        delta = opened.take(path) or self._open(table)
        if self.folder(table).is_local and is_plain(delta):
            rows = _columns(scan_slots(path, delta, partitions), columns).collect()
        else:
            rows = _only(self._scan(delta), partitions, columns).collect().sort("partition", maintain_order=True)
        opened.keep(path, delta)
        return rows

    def _open(self, table: str, version: int | None = None) -> DeltaTable:
        found = self._find(table, version)
        if found is None:
            raise PerennialError(
                "the lake has no such table",
                where=table,
                found=f"nothing at {self.path(table)}",
                expected="a table with rows of a partition",
                hint=f"perennial backfill {table.partition('/')[0]} FROM TO; or PERENNIAL_HOME names another home",
            )
        return found

    def _find(self, table: str, version: int | None = None) -> DeltaTable | None:
        """`table`, opened anew, or None before its first write."""
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self.path(table), version=version)
        except TableNotFoundError:
            return None

    def _scan(self, delta: DeltaTable) -> pl.LazyFrame:
        """The rows of a table that is open: Polars opens one that it is given by its path for each question."""
        return pl.scan_delta(delta)

    def _prepare(self, table: str, blank: pl.DataFrame) -> DeltaTable:
        """The table, open, which takes the columns of `blank`; it is made before its first write."""
        path = self.path(table)
        delta = opened.take(path) or self._find(table)
        if delta is None:
            create_table(path, blank)
            delta = self._open(table)
        check_types(delta, blank, table=table, path=path)
        return delta

    def _commit(self, table: str, delta: DeltaTable, blank: pl.DataFrame, slots: Slots, files: Sequence[File]) -> None:
        """Let `files` be all that `slots` of one revision hold; again while it loses to others."""
        for left in reversed(range(ATTEMPTS)):
            try:
                widen(delta, blank)
                replace_slots(delta, slots, files)
                break
            except _conflict():
                if not left:
                    raise
                delta.update_incremental()
                check_types(delta, blank, table=table, path=self.path(table))
            except (OSError, _delta_error()) as error:
                refuse_if_full(error, where=self.path(table))
                raise
        delta.update_incremental()  # unlike a write, a transaction leaves it at the version before

    def _left(self, table: str, delta: DeltaTable) -> int:
        """The version of `delta`, which is left to the next who needs the table."""
        version = int(delta.version())
        opened.keep(self.path(table), delta)
        return version


def by_partition(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of each partition, in the order that they have."""
    return {
        str(key): part for (key,), part in rows.partition_by("partition", as_dict=True, maintain_order=True).items()
    }


def replace_slots(delta: DeltaTable, slots: Slots, files: Sequence[File]) -> None:
    """Let `files` be all that `slots` of one revision hold. Raises deltalake's CommitFailedError for who lost.

    Whoever committed meanwhile wins, whatever it was: Delta itself would let two write one new slot.
    """
    from deltalake import CommitProperties

    delta.create_write_transaction(
        [file.added() for file in files],
        mode="overwrite",
        schema=delta.schema(),
        partition_by=list(slots[0]),
        partition_filters=[(name, "in", list(dict.fromkeys(slot[name] for slot in slots))) for name in slots[0]],
        commit_properties=CommitProperties(max_commit_retries=0),
    )


def _slots(partitions: Partitions) -> list[Slots]:
    """The slots of `partitions`, those of one revision together."""
    if not isinstance(partitions, Mapping):
        return [[{"partition": key} for key in dict.fromkeys(partitions)]] if partitions else []
    groups = _by_revision(partitions).items()
    return [[{"partition": key, "revision": str(revision)} for key in keys] for revision, keys in groups]


def _only(rows: pl.LazyFrame, partitions: Partitions | None, columns: Sequence[str] | None) -> pl.LazyFrame:
    """Those of `partitions`, and of their columns `columns` and the key."""
    return _columns(rows if partitions is None else rows.filter(_within(partitions)), columns)


def _columns(rows: pl.LazyFrame, columns: Sequence[str] | None) -> pl.LazyFrame:
    """Only `columns`, and the key."""
    return rows if columns is None else rows.select(list(dict.fromkeys([*columns, "partition"])))


def _within(partitions: Partitions) -> pl.Expr:
    if isinstance(partitions, Mapping):
        slots = _by_revision(partitions).items()
        return pl.any_horizontal(
            pl.lit(value=False), *(_within(keys) & (pl.col("revision") == revision) for revision, keys in slots)
        )
    return pl.col("partition").is_in(list(partitions))


def _by_revision(slots: Mapping[str, int]) -> dict[int, list[str]]:
    keys: dict[int, list[str]] = {}
    for key, revision in slots.items():
        keys.setdefault(revision, []).append(key)
    return keys


def _delta_error() -> type[Exception]:
    from deltalake.exceptions import DeltaError

    return DeltaError


def _conflict() -> type[Exception]:
    from deltalake.exceptions import CommitFailedError

    return CommitFailedError
