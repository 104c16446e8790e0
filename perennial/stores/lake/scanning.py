"""Scanning: the rows of a few slots of a table on a local disk, from their files and no others.

Polars scans a Delta table as a whole: it asks for the statistics of each file, filters by the columns that the table
is cut by, and gives the partitions in any order, which costs more than the rows of a small one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

import polars as pl

if TYPE_CHECKING:
    from deltalake import DeltaTable

Slots = Sequence[Mapping[str, str]]
"""Slots of one revision, each by the values of the columns that its table is cut by."""
PLAIN_FEATURES = frozenset({"timestampNtz"})
"""What a table may ask of its readers while each row of its files counts, under the name that it has there."""


def is_plain(delta: DeltaTable) -> bool:
    """Whether the table is no more than the rows in its files: ours are, but other hands may change that."""
    protocol = delta.protocol()
    return protocol.min_reader_version == 1 or PLAIN_FEATURES.issuperset(protocol.reader_features or ["unknown"])


def scan_slots(delta: DeltaTable, groups: Sequence[Slots]) -> pl.LazyFrame:
    """The rows of the slots in `groups`, ordered by slot and, within one, as they were written."""
    schema = pl.Schema(delta.schema())
    files = [file for slots in groups for file in delta.file_uris(file_pruning_predicate=_predicate(slots))]
    if not files:
        return schema.to_frame().lazy()
    return pl.scan_parquet(
        sorted(files, key=lambda file: [unquote(name) for name in file.split("/")]),  # parts of a slot are numbered
        schema=schema,
        hive_schema={name: schema[name] for name in delta.metadata().partition_columns},
        missing_columns="insert",
        extra_columns="ignore",
        glob=False,
    )


def _predicate(slots: Slots) -> str:
    """The slots in Delta's SQL: those that their values have in common."""
    listed = {name: dict.fromkeys(slot[name] for slot in slots) for name in slots[0]}
    quoted = {"partition": ", ".join("'" + key.replace("'", "''") + "'" for key in listed["partition"])}
    return " AND ".join(f"{name} IN ({quoted.get(name) or ', '.join(values)})" for name, values in listed.items())
