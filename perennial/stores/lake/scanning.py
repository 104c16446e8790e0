"""Scanning: the rows of a few slots of a table on a local disk, from their files and no others.

Polars scans a Delta table as a whole: it asks for the statistics of each file, filters by the columns that the table
is cut by, and gives the partitions in any order, which costs more than the rows of a small one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import polars as pl

if TYPE_CHECKING:
    from deltalake import DeltaTable

Partitions = Sequence[str] | Mapping[str, int]
"""Whole partitions by their keys, or of each partition the one revision that is meant."""
PLAIN_FEATURES = frozenset({"timestampNtz"})
"""What a table may ask of its readers while each row of its files counts, under the name that it has there."""


def is_plain(delta: DeltaTable) -> bool:
    """Whether the table is no more than the rows in its files: ours are, but other hands may change that."""
    protocol = delta.protocol()
    return protocol.min_reader_version == 1 or PLAIN_FEATURES.issuperset(protocol.reader_features or ["unknown"])


def scan_slots(folder: str, delta: DeltaTable, partitions: Partitions) -> pl.LazyFrame:
    """The rows of `partitions` of the table in `folder`.

    Ordered by partition and revision and, within a slot that was written by one commit, as they were written.
    """
    schema, cut = pl.Schema(delta.schema()), delta.metadata().partition_columns
    files = [f"{folder}/{unquote(path)}" for *_, path in sorted(_files(delta, cut, partitions))]
    if not files:
        return schema.to_frame().lazy()
    return pl.scan_parquet(
        files,
        schema=schema,
        hive_schema={name: schema[name] for name in cut},
        missing_columns="insert",
        extra_columns="ignore",
        glob=False,
    )


def _files(delta: DeltaTable, cut: Sequence[str], partitions: Partitions) -> list[tuple[Any, ...]]:
    """The partition, the revision if there are any, and the path of each file; the parts of a slot are numbered."""
    added = delta.get_add_actions(flatten=True)
    columns = (added.column(name).to_pylist() for name in (*(f"partition.{name}" for name in cut), "path"))
    if isinstance(partitions, Mapping):
        return [
            (key, number, path) for key, number, path in zip(*columns, strict=True) if partitions.get(key) == number
        ]
    keys = set(partitions)
    return [file for file in zip(*columns, strict=True) if file[0] in keys]
