"""Columns: which a Delta table has, and which it takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from perennial.errors import SchemaSkew

if TYPE_CHECKING:
    from deltalake import DeltaTable

CUT_BY = ("partition", "revision")
"""Columns whose values name the slot that a row lies in; the files of a slot lack them."""
PROPERTIES = {
    # Delta forgets commits older than 30 days at a checkpoint, and with them every version that they made.
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
    # Rows are looked for by partition: nobody reads the least and the largest of each column in each commit.
    "delta.dataSkippingNumIndexedCols": "0",
}
"""What each table says of its log: keep all commits, and keep them small."""


def create_table(path: str, blank: pl.DataFrame) -> None:
    """Make the table at `path` with the columns of `blank`, unless another has just made it."""
    from deltalake import DeltaTable

    if "://" not in path:
        Path(path).mkdir(parents=True, exist_ok=True)
    DeltaTable.create(
        path,
        schema=blank.to_arrow(compat_level=pl.CompatLevel.oldest()).schema,
        partition_by=[name for name in CUT_BY if name in blank.columns],
        mode="ignore",
        configuration=PROPERTIES,
    )


def check_types(delta: DeltaTable, blank: pl.DataFrame, *, table: str, path: str) -> None:
    """Raise SchemaSkew for a column of `blank` that has another type than that of `table`, or cannot be in it."""
    stands = pl.Schema(delta.schema())
    if "revision" in blank.schema and "revision" not in stands:
        raise SchemaSkew(
            "the table was written before revisions were kept",
            where=table,
            found=f"columns {', '.join(stands)}",
            expected="a column revision",
            hint="move the whole home aside, or make clean-state, and backfill again",
        )
    for name, dtype in blank.schema.items():
        if name in stands and stands[name] != dtype:
            raise SchemaSkew(
                f"column {name!r} has another type than the table's",
                where=table,
                found=str(dtype).lower(),
                expected=str(stands[name]).lower(),
                hint=f"give the column another name; or move {path} aside, then "
                f"perennial backfill {table.partition('/')[0]} FROM TO --all",
            )


def widen(delta: DeltaTable, blank: pl.DataFrame) -> None:
    """Give a table the columns that only `blank` has."""
    from deltalake import Schema

    known = {field.name for field in delta.schema().fields}
    if known.issuperset(blank.columns):
        return
    wanted = Schema.from_arrow(blank.to_arrow(compat_level=pl.CompatLevel.oldest()).schema).fields
    delta.alter.add_columns([field for field in wanted if field.name not in known])
