"""Content: the bytes of one source file as they were at one moment, which nobody else can change."""

from __future__ import annotations

import hashlib
import io
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

BLOCK = 1 << 20
IN_MEMORY = 64 * BLOCK
"""Content up to this size is kept in memory; more lies in a file without a name, gone with the process."""


class NoRoom(Exception):
    """The disk of PERENNIAL_HOME takes no copy; the source is not to blame."""


class Readable(Protocol):
    """What bytes are taken from."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A private copy of a file's bytes, with what was seen of the file."""

    name: str
    """The file's own name, for messages."""
    file: BinaryIO
    size: int
    sha256: str
    uri: str = ""
    """Where it came from, without credentials."""
    signature: str = ""
    """What changes when the file does: the source's word for it, else the content's hash."""

    @property
    def in_memory(self) -> bool:
        return isinstance(self.file, io.BytesIO)

    def head(self, size: int = 4096) -> bytes:
        """The first bytes."""
        self.file.seek(0)
        return self.file.read(size)

    def tail(self, size: int) -> bytes:
        """The last bytes."""
        self.file.seek(max(self.size - size, 0))
        return self.file.read(size)

    def opened(self) -> BinaryIO:
        """The file, at its start."""
        self.file.seek(0)
        return self.file

    def reopened(self) -> BinaryIO:
        """The file that is not in memory, opened once more: of Python's own class, which Polars maps; ours it reads."""
        self.file.flush()
        return Path(f"/dev/fd/{self.file.fileno()}").open("rb")


def take(stream: Readable, *, spool: Path, name: str, uri: str = "", signature: str = "") -> Content:
    """All bytes of `stream` as a private copy; large ones go to a nameless file in `spool`."""
    digest, size = hashlib.sha256(), 0
    file: BinaryIO = io.BytesIO()
    with ThreadPoolExecutor(1, thread_name_prefix="sha256") as beside:
        hashed = beside.submit(digest.update, b"")
        while block := stream.read(BLOCK):
            hashed.result()  # one block is hashed while it is written and the next is read
            hashed = beside.submit(digest.update, block)
            try:
                if size <= IN_MEMORY < size + len(block):
                    file = _move(file, spool)
                file.write(block)
                file.flush()
            except OSError as error:
                raise NoRoom(f"{error.strerror}: {spool}") from error
            size += len(block)
        hashed.result()
    file.seek(0)
    sha256 = digest.hexdigest()
    return Content(name=name, file=file, size=size, sha256=sha256, uri=uri, signature=signature or sha256)


def adopt(path: Path, *, name: str, uri: str, signature: str) -> Content:
    """The file at `path` as content of its own; its name is gone afterwards."""
    with path.open("rb") as stream:
        if path.stat().st_size <= IN_MEMORY:
            content = take(stream, spool=path.parent, name=name, uri=uri, signature=signature)
        else:
            file: BinaryIO = _Nameless(io.FileIO(path, "rb+"))
            size, sha256 = path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest()
            content = Content(name=name, file=file, size=size, sha256=sha256, uri=uri, signature=signature or sha256)
    path.unlink()
    return content


def _move(memory: BinaryIO, spool: Path) -> BinaryIO:
    spool.mkdir(parents=True, exist_ok=True)
    descriptor, path = tempfile.mkstemp(dir=spool)
    file: BinaryIO = _Nameless(io.FileIO(descriptor, "rb+"))
    Path(path).unlink()
    memory.seek(0)
    while block := memory.read(BLOCK):
        file.write(block)
    return file


class _Nameless(io.BufferedRandom):
    """A file that is closed when the last who holds it lets go; a scan of it holds a descriptor of its own."""

    def __del__(self) -> None:
        self.close()
