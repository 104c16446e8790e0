"""Lakehouse: Delta tables cut by a column `partition`, written atomically, read with Polars.

A table with a column `revision` is cut by that too: each revision of a partition is a slot of its own,
which stays beside the others until the same slot is written again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.errors import PerennialError, SchemaSkew

if TYPE_CHECKING:
    from deltalake import DeltaTable

Partitions = Sequence[str] | Mapping[str, int]
"""Whole partitions by their keys, or of each partition the one revision that is meant."""
ATTEMPTS = 5
"""How often a commit is tried: writers and compaction wait for each other; what else may be in its way is brief."""
NO_ROOM = ("No space left on device", "File too large", "Disk quota exceeded")
PROPERTIES = {
    # Delta forgets commits older than 30 days at a checkpoint, and with them every version that they made.
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
    # Rows are looked for by partition: nobody reads the least and the largest of each column in each commit.
    "delta.dataSkippingNumIndexedCols": "0",
}
"""What each table says of its log: keep all commits, and keep them small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lakehouse:
    """The tables under `root`; a table is named `pipeline/table`."""

    root: str
    storage_options: Mapping[str, str] = field(default_factory=dict)

    def path(self, table: str) -> str:
        """Where `table` lies; also its `dagster/uri`."""
        return f"{self.root.rstrip('/')}/{table}"

    def version(self, table: str) -> int | None:
        """The newest version of `table`, or None before its first write."""
        return int(self._open(table).version()) if self.exists(table) else None

    def exists(self, table: str) -> bool:
        """Whether `table` was ever written."""
        from deltalake import DeltaTable

        return bool(DeltaTable.is_deltatable(self.path(table), storage_options=dict(self.storage_options)))

    def overwrite(self, table: str, frame: pl.DataFrame, *, partitions: Partitions) -> int:
        """Replace `partitions` of `table`, or one revision of each, by the rows of `frame` in one commit.

        Returns the table's version.

        Guarantees that a reader sees all of them before or all of them after. A partition without
        rows in `frame` is emptied; rows of another partition are an error. A new column is null in the
        rows that were written before it. Writers at the same time are serialised by Delta; one that lost
        tries again. Raises SchemaSkew for a column of another type than the table's.
        """
        from deltalake import write_deltalake

        stray = set(frame.get_column("partition").unique()) - set(partitions)
        if stray:
            raise ValueError(f"{table}: rows of partitions {sorted(stray)} in a write of {list(partitions)}")
        whole = frame.rechunk()  # delta-rs 1.6 writes chunks side by side, in any order
        return self._commit(
            table,
            self._prepare(table, frame),
            lambda delta: write_deltalake(
                delta,
                whole.to_arrow(compat_level=pl.CompatLevel.oldest()),
                mode="overwrite",
                schema_mode="merge",
                predicate=_predicate(partitions),
            ),
        )

    def replace_files(
        self, table: str, blank: pl.DataFrame, slot: Mapping[str, str], files: Mapping[str, tuple[int, int]]
    ) -> int:
        """Let `files`, which lie in the table's folder, be all that `slot` holds, in one commit.

        `blank` is a frame without rows of the table's columns; each file comes with its bytes and rows.
        Returns the table's version. A commit that lost against another is tried again.
        """
        from deltalake.transaction import AddAction

        delta = self._prepare(table, blank)
        now = int(time.time() * 1000)
        added: list[Any] = [
            AddAction(file, size, dict(slot), now, data_change=True, stats=json.dumps({"numRecords": rows}))
            for file, (size, rows) in files.items()
        ]

        def replace(delta: DeltaTable) -> None:
            _widen(delta, blank)
            delta.create_write_transaction(
                added,
                mode="overwrite",
                schema=delta.schema(),
                partition_by=list(slot),
                partition_filters=[(name, "=", value) for name, value in slot.items()],
            )
            delta.update_incremental()  # unlike a write, a transaction leaves it at the version before

        return self._commit(table, delta, replace)

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
        rows = self._scan(self._open(table, version))
        rows = rows if partitions is None else rows.filter(_within(partitions))
        return rows if columns is None else rows.select(list(dict.fromkeys([*columns, "partition"])))

    def read(self, table: str, *, partitions: Partitions, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The rows of `partitions`, ordered by partition and, within one, as they were written."""
        rows = self.scan(table, partitions=partitions, columns=columns).collect()
        return rows.sort("partition", maintain_order=True) if len(partitions) > 1 else rows

    def _open(self, table: str, version: int | None = None) -> DeltaTable:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self.path(table), version=version, storage_options=dict(self.storage_options))
        except TableNotFoundError as error:
            raise PerennialError(
                "the lake has no such table",
                where=table,
                found=f"nothing at {self.path(table)}",
                expected="a table with rows of a partition",
                hint=f"perennial backfill {table.partition('/')[0]} FROM TO; or PERENNIAL_HOME names another home",
            ) from error

    def _scan(self, delta: DeltaTable) -> pl.LazyFrame:
        """The rows of a table that is open: Polars opens one that it is given by its path for each question."""
        return pl.scan_delta(delta, storage_options=dict(self.storage_options) or None)

    def _commit(self, table: str, delta: DeltaTable, write: Callable[[DeltaTable], None]) -> int:
        """Let `write` commit to `table`, again while it loses against others; the table's version then."""
        for left in reversed(range(ATTEMPTS)):
            try:
                write(delta)
                break
            except _conflict():
                if not left:
                    raise
                delta.update_incremental()
            except (OSError, _delta_error()) as error:
                refuse_if_full(error, where=self.path(table))
                raise
        return int(delta.version())

    def _prepare(self, table: str, frame: pl.DataFrame) -> DeltaTable:
        """The table, open, which takes `frame`; it is made before its first write."""
        if not self.exists(table):
            self._create(table, frame)
        delta = self._open(table)
        self._check_types(table, delta, frame)
        return delta

    def _check_types(self, table: str, delta: DeltaTable, frame: pl.DataFrame) -> None:
        """Delta would cast a column of another type, and lose what does not fit."""
        stands = self._scan(delta).collect_schema()
        if "revision" in frame.schema and "revision" not in stands:
            raise SchemaSkew(
                "the table was written before revisions were kept",
                where=table,
                found=f"columns {', '.join(stands)}",
                expected="a column revision",
                hint="move the whole home aside, or make clean-state, and backfill again",
            )
        for name, dtype in frame.schema.items():
            if name in stands and stands[name] != dtype:
                raise SchemaSkew(
                    f"column {name!r} has another type than the table's",
                    where=table,
                    found=str(dtype).lower(),
                    expected=str(stands[name]).lower(),
                    hint=f"give the column another name; or move {self.path(table)} aside, then "
                    f"perennial backfill {table.partition('/')[0]} FROM TO --all",
                )

    def _create(self, table: str, frame: pl.DataFrame) -> None:
        from deltalake import DeltaTable

        if "://" not in self.root:
            Path(self.path(table)).mkdir(parents=True, exist_ok=True)
        DeltaTable.create(
            self.path(table),
            schema=frame.clear().to_arrow(compat_level=pl.CompatLevel.oldest()).schema,
            partition_by=[name for name in ("partition", "revision") if name in frame.columns],
            mode="ignore",
            configuration=PROPERTIES,
            storage_options=dict(self.storage_options),
        )


def _widen(delta: DeltaTable, blank: pl.DataFrame) -> None:
    """Give a table the columns that only `blank` has."""
    from deltalake import Schema

    known = {field.name for field in delta.schema().fields}
    wanted = Schema.from_arrow(blank.to_arrow(compat_level=pl.CompatLevel.oldest()).schema).fields
    new = [field for field in wanted if field.name not in known]
    if new:
        delta.alter.add_columns(new)


def _predicate(partitions: Partitions) -> str:
    if isinstance(partitions, Mapping):
        slots = _by_revision(partitions).items()
        return " OR ".join(f"({_predicate(keys)} AND revision = {revision})" for revision, keys in slots)
    return "partition IN (" + ", ".join(f"'{key}'" for key in partitions) + ")"


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


def refuse_if_full(error: Exception, *, where: str) -> None:
    """Raise PerennialError when `error` says that the disk takes no more."""
    said = next((line for line in NO_ROOM if line in str(error)), None)
    if said is not None:
        raise PerennialError(
            "the table cannot be written", where=where, found=said.lower(), expected="room for its files",
            hint="free some disk and run it again; what stood before stays readable",
        ) from error  # fmt: skip


def _delta_error() -> type[Exception]:
    from deltalake.exceptions import DeltaError

    return DeltaError


def _conflict() -> type[Exception]:
    from deltalake.exceptions import CommitFailedError

    return CommitFailedError
