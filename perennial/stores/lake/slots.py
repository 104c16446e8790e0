"""Slots: one revision of one partition, written part by part and seen all at once.

For partitions that do not fit in memory. Part files without a commit are no part of the table: what a
killed writer leaves is removed by the lake's clean-up.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self
from uuid import uuid4

import polars as pl

from perennial.content import ContentHash
from perennial.stores.lake.files import File
from perennial.stores.lake.lakehouse import Lakehouse

PART_ROWS = 1_000_000
"""Rows of one part: large enough that the work on each is in columns, small enough to bound memory."""


class SlotWriter:
    """Writes the parts of one slot of `table`; nothing of them is seen before `commit`.

    One part is hashed, and written beside that, while the caller makes the next.
    """

    def __init__(self, lakehouse: Lakehouse, table: str, partition: str, revision: int) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="parts")
        self._behind: list[Future[None]] = []
        self._rows = 0
        self._lakehouse = lakehouse
        self._table = table
        self._slot = {"partition": partition, "revision": str(revision)}
        self._content = ContentHash()
        self._schema: pl.Schema | None = None
        self._files: list[File] = []
        self._folder = lakehouse.folder(table)
        self._name = uuid4()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._threads.shutdown()
        if kind is not None:
            self.discard()

    def add(self, part: pl.DataFrame) -> None:
        """Write the next rows, which have a column `partition`."""
        self._wait()
        self._behind = [self._threads.submit(work, part) for work in (self._content.add, self._write)]

    @property
    def rows(self) -> int:
        """The number of all rows so far."""
        self._wait()
        return self._rows

    def written(self) -> Iterator[pl.DataFrame]:
        """The parts again, as they were written."""
        self._wait()
        for file in self._files:
            yield self._folder.read(file)

    def _wait(self) -> None:
        behind, self._behind = self._behind, []
        for work in behind:
            work.result()

    def _write(self, part: pl.DataFrame) -> None:
        self._schema = self._schema or part.schema
        if not part.height:
            return
        # To a disk plain is quicker than packed; over a network the bytes cost more (decision 0016).
        name = f"{self._name}-{len(self._files):06d}"
        self._files.append(self._folder.write(part, self._slot, name, packed=not self._folder.is_local))
        self._rows += part.height

    @property
    def content_hash(self) -> str:
        """The hash of all rows so far."""
        self._wait()
        return self._content.hexdigest()

    def commit(self) -> int:
        """Let the parts be the slot, in one commit; return the table's version.

        From then on they belong to the table, and nothing that fails later removes them.
        """
        self._wait()
        if self._schema is None:
            raise ValueError(f"{self._table}: a slot needs one part at least")
        blank = pl.DataFrame(schema=self._schema).with_columns(
            partition=pl.lit(self._slot["partition"]), revision=pl.lit(int(self._slot["revision"]), pl.Int32)
        )
        files, self._files = self._files, []
        return self._lakehouse.replace_files(self._table, blank.clear(), self._slot, files)

    def discard(self) -> None:
        """Remove the parts that were written and are not wanted; what was committed stays."""
        for file in self._files:
            self._folder.remove(file.path)
