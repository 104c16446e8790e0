"""Opened: Delta tables on a local disk that are used again without their log, while no commit has come.

To open a table takes one to thirty milliseconds, with its log; to see that its log ends where it did, a few
microseconds. Who takes a table has it alone, and keeps it for the next when done: what one scans or changes,
nobody else sees.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltalake import DeltaTable

MOST = 64
"""Tables that are kept: all of a few pipelines. The one that was kept first is given up."""

_Commit = tuple[int, int]
"""The file of a commit, told from another of that name: its inode, and when it was written in ns."""
_kept: dict[str, tuple[DeltaTable, _Commit]] = {}


def take(path: str) -> DeltaTable | None:
    """The table at `path` at its newest version, if one was kept and that is still so."""
    table, last = _kept.pop(path, (None, None))
    if table is None or _commit(path, table.version() + 1) is not None or _commit(path, table.version()) != last:
        return None
    return table


def keep(path: str, table: DeltaTable) -> None:
    """Leave `table`, which is at its newest version, for the next; one of an object store is not kept."""
    last = _commit(path, table.version())
    if last is None:
        return
    _kept[path] = (table, last)
    for oldest in list(_kept)[:-MOST]:
        _kept.pop(oldest, None)


def _commit(path: str, version: int) -> _Commit | None:
    try:
        found = Path(f"{path}/_delta_log/{version:020}.json").stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
