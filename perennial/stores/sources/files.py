"""Files: the partitions of a declared `Files` source, wherever its root places them."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from perennial.errors import SourceError, SourceUnreachable
from perennial.ingestion.landing import Arrival
from perennial.ingestion.partitioned import Partitioned
from perennial.sources import Files
from perennial.stores.sources.content import Content, NoRoom
from perennial.stores.sources.formats import Rows, read_rows
from perennial.stores.sources.split import Split, WholeFile, open_split

FULL = (errno.ENOSPC, errno.EDQUOT)
WHOLE = ""
"""Key of the one file that holds every partition."""


class Transport(Protocol):
    """How files are reached; `location` is a path or an address."""

    def fetch(self, location: str, *, where: str) -> Content:
        """The file's bytes as they are now. Raises SourceError, also when it changes meanwhile."""

    def signatures(self, locations: Mapping[str, str], *, where: str) -> dict[str, str]:
        """Of each location that is there: what changes when the content does; reads no content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReader:
    """Reads partitions of files."""

    source: Files
    transport: Transport
    root: str
    spool: Path

    def location(self, pipeline: Partitioned, partition: str) -> str:
        """Path or address of the file that holds `partition`."""
        start = datetime.strptime(partition, pipeline.time.key_format)  # noqa: DTZ007 - formats a name
        return self.source.pattern.format(root=self.root, partition=start)

    def read(self, pipeline: Partitioned, partition: str, *, fetched_at: datetime) -> Arrival:
        """The partition as its file holds it now. Raises SourceError when there is none that can be read."""
        where = f"{pipeline.name} {partition}"
        if self.source.is_whole:
            return self._part(pipeline, partition, fetched_at=fetched_at)
        with self._room(where):
            content = self.transport.fetch(self.location(pipeline, partition), where=where)
            found = self._rows(content, where=where)
        return Arrival(
            partition=partition,
            rows=found.rows,
            is_text=found.is_text,
            uri=content.uri,
            sha256=content.sha256,
            size=content.size,
            signature=content.signature,
            fetched_at=fetched_at,
        )

    def read_file(self, *, where: str) -> tuple[Content, Rows]:
        """The one file of a source without partitions, with its rows. Raises SourceError."""
        with self._room(where):
            content = self.transport.fetch(self.source.pattern.format(root=self.root), where=where)
            return content, self._rows(content, where=where)

    def look_at_file(self, *, where: str) -> str:
        """The signature of the one file of a source without partitions, empty where it is not there.

        Raises SourceError for an unreachable source.
        """
        location = self.source.pattern.format(root=self.root)
        return self.transport.signatures({WHOLE: location}, where=where).get(WHOLE, "")

    def signatures(self, pipeline: Partitioned, partitions: list[str]) -> dict[str, str]:
        """The signature of each of `partitions` that is there now. Raises SourceError for an unreachable source."""
        if self.source.is_whole:
            parts = self._split(pipeline, where=pipeline.name).parts
            return {key: parts[key].content_hash for key in partitions if key in parts}
        locations = {key: self.location(pipeline, key) for key in partitions}
        return self.transport.signatures(locations, where=pipeline.name)

    def _part(self, pipeline: Partitioned, partition: str, *, fetched_at: datetime) -> Arrival:
        where = f"{pipeline.name} {partition}"
        split = self._split(pipeline, where=where)
        if partition not in split.parts:
            raise SourceError(
                f"no row of {split.uri} lies in the partition",
                where=where,
                found=f"{len(split.parts)} partitions from {min(split.parts)} to {max(split.parts)}"
                if split.parts
                else "no rows",
                expected="rows whose event time lies in it",
            )
        return Arrival(
            partition=partition,
            rows=split.rows(partition),
            is_text=split.is_text,
            uri=split.uri,
            sha256=split.sha256,
            size=split.size,
            signature=split.parts[partition].content_hash,
            fetched_at=fetched_at,
        )

    def _split(self, pipeline: Partitioned, *, where: str) -> Split:
        location = self.location(pipeline, pipeline.time.start)
        signature = self.transport.signatures({WHOLE: location}, where=where).get(WHOLE, "")
        with self._room(where):
            return open_split(
                pipeline,
                WholeFile(source=self.source, location=location, spool=self.spool),
                signature,
                lambda: self.transport.fetch(location, where=where),
                where=where,
            )

    def _rows(self, content: Content, *, where: str) -> Rows:
        try:
            return read_rows(content, self.source, spool=self.spool, where=where)
        except SourceError as error:
            error.signature = content.signature
            raise

    @contextmanager
    def _room(self, where: str) -> Iterator[None]:
        """A copy that cannot be made, as an error of the source."""
        try:
            yield
        except (NoRoom, OSError) as error:
            cause = error.__cause__ if isinstance(error, NoRoom) else error
            full = isinstance(cause, OSError) and cause.errno in FULL
            advice = "free some disk" if full else "look at the rights of that path"
            raise SourceUnreachable(
                "the source's file cannot be copied",
                where=where,
                found=str(error),
                expected="room for it under PERENNIAL_HOME",
                hint=f"{advice}; what had landed stays as it was",
            ) from error
