"""Compaction: the small files of a slot become one that holds their rows in the same order.

Delta's own compaction deals files of more than a batch of rows out to its threads and interleaves them;
the rows then no longer fit the content hash that the manifest has of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from perennial.stores.lake.lakehouse import Lakehouse, replace_slots

if TYPE_CHECKING:
    from deltalake import DeltaTable


def keeps_order(delta: DeltaTable) -> bool:
    """Whether the order of the table's rows is part of what it says: it has slots of partition and revision."""
    return delta.metadata().partition_columns == ["partition", "revision"]


def merge_files(lakehouse: Lakehouse, table: str, delta: DeltaTable, folder: str) -> None:
    """Let `folder`, a slot of `table`, hold the rows that it has at the version of `delta`, in one file.

    A writer that committed since then wins: raises deltalake's CommitFailedError.
    """
    named = (name.split("=", 1) for name in folder.split("/"))
    slot = {column: unquote(value) for column, value in named}
    scanned = lakehouse.scan(table, partitions={slot["partition"]: int(slot["revision"])}, version=delta.version())
    replace_slots(delta, [slot], [lakehouse.folder(table).write(scanned.collect(), slot)])


def rows_by_slot(delta: DeltaTable) -> dict[str, int]:
    """The rows of each slot (a folder of the table)."""
    import pyarrow as pa

    actions = pa.table(delta.get_add_actions(flatten=True))
    found: dict[str, int] = {}
    for path, rows in zip(*(actions[n].to_pylist() for n in ("path", "num_records")), strict=True):
        folder = unquote(path).rpartition("/")[0]
        found[folder] = found.get(folder, 0) + int(rows or 0)
    return found
