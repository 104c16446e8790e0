"""Scanning: the rows of a few slots of a table on a local disk, from their files and no others.

Polars scans a Delta table as a whole: it asks for the statistics of each file, filters by the columns that the table
is cut by, and gives the partitions in any order, which costs more than the rows of a small one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import polars as pl

if TYPE_CHECKING:
    from deltalake import DeltaTable

PLAIN_FEATURES = frozenset({"timestampNtz"})
"""What a table may ask of its readers while each row of its files counts, under the name that it has there."""


def is_plain(delta: DeltaTable) -> bool:
    """Whether the table is no more than the rows in its files: ours are, but other hands may change that."""
    protocol = delta.protocol()
    return protocol.min_reader_version == 1 or PLAIN_FEATURES.issuperset(protocol.reader_features or ["unknown"])


def scan_slots(folder: str, delta: DeltaTable, wanted: pl.Expr) -> pl.LazyFrame:
    """The rows of the slots that are `wanted`, an expression over the columns that the table in `folder` is cut by.

    Ordered by slot and, within one that was written by one commit, as they were written.
    """
    schema, cut = pl.Schema(delta.schema()), delta.metadata().partition_columns
    added = pl.DataFrame(delta.get_add_actions(flatten=True))
    if added.height:
        files = added.select("path", *(pl.col(f"partition.{name}").alias(name) for name in cut))
        added = files.filter(wanted).sort(*cut, "path")  # the parts of a slot are numbered
    if not added.height:
        return schema.to_frame().lazy()
    return pl.scan_parquet(
        [f"{folder}/{unquote(path)}" for path in added["path"]],
        schema=schema,
        hive_schema={name: schema[name] for name in cut},
        missing_columns="insert",
        extra_columns="ignore",
        glob=False,
    )
