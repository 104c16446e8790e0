"""Lakehouse: Delta tables cut by a column `partition`, written atomically, read with Polars.

A table with a column `revision` is cut by that too: each revision of a partition is a slot of its own,
which stays beside the others until the same slot is written again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from perennial.errors import SchemaSkew

Partitions = Sequence[str] | Mapping[str, int]
"""Whole partitions by their keys, or of each partition the one revision that is meant."""


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
        from deltalake import DeltaTable

        if not self.exists(table):
            return None
        return int(DeltaTable(self.path(table), storage_options=dict(self.storage_options)).version())

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
        if self.exists(table):
            self._check_types(table, frame)
        else:
            self._create(table, frame)
        for attempt in range(5):
            try:
                write_deltalake(
                    self.path(table),
                    frame.to_arrow(compat_level=pl.CompatLevel.oldest()),
                    mode="overwrite",
                    schema_mode="merge",
                    predicate=_predicate(partitions),
                    storage_options=dict(self.storage_options),
                )
                break
            except _conflict():
                if attempt == 4:
                    raise
        return int(self.version(table) or 0)

    def scan(self, table: str, *, partitions: Partitions | None = None, version: int | None = None) -> pl.LazyFrame:
        """The rows of `table`, of the given partitions only; unordered between partitions."""
        rows = pl.scan_delta(self.path(table), version=version, storage_options=dict(self.storage_options) or None)
        return rows if partitions is None else rows.filter(_within(partitions))

    def read(self, table: str, *, partitions: Partitions, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The rows of `partitions`, ordered by partition and, within one, as they were written."""
        rows = self.scan(table, partitions=partitions)
        if columns is not None:
            rows = rows.select(list(dict.fromkeys([*columns, "partition"])))
        return rows.collect().sort("partition", maintain_order=True)

    def _check_types(self, table: str, frame: pl.DataFrame) -> None:
        """Delta would cast a column of another type, and lose what does not fit."""
        stands = self.scan(table).collect_schema()
        for name, dtype in frame.schema.items():
            if name in stands and stands[name] != dtype:
                raise SchemaSkew(
                    f"column {name!r} has another type than the table's",
                    where=table,
                    found=str(dtype).lower(),
                    expected=str(stands[name]).lower(),
                    hint=f"give the column another name; or move {self.path(table)} aside and backfill --everything",
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
            storage_options=dict(self.storage_options),
        )


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


def _conflict() -> type[Exception]:
    from deltalake.exceptions import CommitFailedError

    return CommitFailedError
