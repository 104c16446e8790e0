"""Files: the Parquet files that a table's rows lie in, before a commit names them.

A file that no commit names is no part of its table: the lake's clean-up removes what a killed writer leaves.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote
from uuid import uuid4

import polars as pl

from perennial.errors import PerennialError
from perennial.stores.lake.columns import CUT_BY

if TYPE_CHECKING:
    from deltalake.transaction import AddAction

AT_ONCE = 8
"""Files that are written at once, since an object store is slow to take one."""
NO_ROOM = ("No space left on device", "File too large", "Disk quota exceeded")


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of a table, on a disk or an object store."""

    path: str

    @property
    def is_local(self) -> bool:
        """Whether it is on a disk of this machine."""
        return "://" not in self.path

    def write_all(self, parts: Sequence[tuple[Mapping[str, str], pl.DataFrame]]) -> list[File]:
        """Write the rows of several slots, as `write` does; all of them or none. Of no rows there is no file."""
        there = [(rows, slot) for slot, rows in parts if rows.height]
        if len(there) == 1:  # no thread has to be begun for one
            return [self.write(*there[0])]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="files") as threads:
            behind = [threads.submit(self.write, rows, slot) for rows, slot in there]
        failed = [error for one in behind if (error := one.exception())]
        if failed:
            for one in behind:
                if not one.exception():
                    self.remove(one.result().path)
            raise failed[0]
        return [one.result() for one in behind]

    def write(self, rows: pl.DataFrame, slot: Mapping[str, str], name: str = "", *, packed: bool = True) -> File:
        """Write `rows` of `slot` in their order, as a file that may be named so.

        Raises PerennialError when the disk takes no more; nothing is left then.
        """
        folders = [f"{column}={quote(value, safe='')}" for column, value in slot.items()]
        path = "/".join([*folders, f"{name or uuid4()}.parquet"])
        try:
            # The values of a slot are read from the names of its folders; the statistics of the others nobody asks for.
            size = self._write(rows.drop(CUT_BY, strict=False), path, packed=packed)
        except (OSError, pl.exceptions.PolarsError) as error:
            self.remove(path)
            refuse_if_full(error, where=self.path)
            raise
        return File(path=path, slot=dict(slot), size=size, rows=rows.height)

    def _write(self, rows: pl.DataFrame, path: str, *, packed: bool) -> int:
        compression: Literal["snappy", "uncompressed"] = "snappy" if packed else "uncompressed"
        if self.is_local:
            file = Path(self.path, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            rows.write_parquet(file, compression=compression, statistics=False, mkdir=False)
            return file.stat().st_size
        from obstore.store import from_url

        buffer = io.BytesIO()
        rows.write_parquet(buffer, compression=compression, statistics=False)
        size = buffer.tell()
        buffer.seek(0)
        # Providers' own endpoints are https; whoever sets another one says its scheme.
        from_url(self.path, client_options={"allow_http": True}).put(path, buffer)
        return size

    def read(self, file: File) -> pl.DataFrame:
        """The rows of `file`, as they were written."""
        return pl.read_parquet(f"{self.path}/{file.path}", glob=False)

    def remove(self, path: str) -> None:
        """Remove a file that no commit names; on an object store the clean-up does."""
        if self.is_local:
            Path(self.path, path).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of one slot."""

    path: str
    """Within the table's folder."""
    slot: Mapping[str, str]
    """The values of the columns that the table is cut by."""
    size: int
    """In bytes, exactly: a reader asks for the end of a file by it."""
    rows: int

    def added(self) -> AddAction:
        """What Delta's log is told of it."""
        from deltalake.transaction import AddAction

        stats = json.dumps({"numRecords": self.rows})
        now = int(time.time() * 1000)
        return AddAction(self.path, self.size, dict(self.slot), now, data_change=True, stats=stats)


def refuse_if_full(error: Exception, *, where: str) -> None:
    """Raise PerennialError when `error` says that the disk takes no more."""
    said = next((line for line in NO_ROOM if line in str(error)), None)
    if said is not None:
        raise PerennialError(
            "the table cannot be written", where=where, found=said.lower(), expected="room for its files",
            hint="free some disk and run it again; what stood before stays readable",
        ) from error  # fmt: skip
