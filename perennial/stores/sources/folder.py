"""Folder: a source's files on a disk of this machine, or mounted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from perennial.errors import SourceError, SourceUnreachable
from perennial.stores.sources.content import Content, take


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Files by their paths; those of one source lie in one folder."""

    spool: Path
    setting: str = "the source's root"
    """What places the folder, for messages."""

    def fetch(self, location: str, *, where: str) -> Content:
        """The file at `location` as it is now. Raises SourceError, also when it changes meanwhile."""
        path = Path(location)
        try:
            with path.open("rb") as file:
                # Taken from the open file before it is read: one that is replaced meanwhile has another.
                signature = _signature(os.fstat(file.fileno()))
                content = take(file, spool=self.spool, name=path.name, uri=path.resolve().as_uri(), signature=signature)
                file.seek(0)
                again = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise self._unreadable(error, path, where=where) from error
        if again != content.sha256:
            raise changed_while_read(path.name, where=where)
        return content

    def signatures(self, locations: Mapping[str, str], *, where: str) -> dict[str, str]:
        """The signature of each of `locations` that is there now; reads no content.

        Raises SourceError when the folder is not there or cannot be looked into.
        """
        found: dict[str, str] = {}
        try:
            for folder in {Path(location).parent for location in locations.values()}:
                if not folder.is_dir():
                    raise self._absent(folder, where=where, expected="the folder that holds the files")
            for key, location in locations.items():
                with suppress(FileNotFoundError):
                    found[key] = _signature(Path(location).stat())
        except OSError as error:
            raise SourceUnreachable(
                "the source cannot be looked into",
                where=where,
                found=f"{error.strerror}: {error.filename}",
                expected="a folder of readable files",
            ) from error
        return found

    def _absent(self, folder: Path, *, where: str, expected: str) -> SourceError:
        return SourceUnreachable(
            "the source's folder is not there",
            where=where,
            found=f"no folder {folder}",
            expected=expected,
            hint=f"mount it, or set {self.setting}",
        )

    def _unreadable(self, failure: OSError, path: Path, *, where: str) -> SourceError:
        """Why the file at `path` could not be opened or read."""
        absent = isinstance(failure, FileNotFoundError | NotADirectoryError)
        if absent and not path.parent.is_dir():
            return self._absent(path.parent, where=where, expected=f"a folder with {path.name}")
        error = SourceUnreachable(
            "the partition's file cannot be read",
            where=where,
            found=f"{failure.strerror}: {path}",
            expected="a readable file",
            hint="wait until the source has delivered it",
        )
        with suppress(OSError):
            error.signature = _signature(path.stat())
        return error


def changed_while_read(name: str, *, where: str) -> SourceError:
    """What to raise where two looks at one file differ; without a signature, so that it is looked at again."""
    return SourceUnreachable(
        f"{name} changed while it was read",
        where=where,
        found="other content at the end than at the start",
        expected="a file that its source has finished",
        hint="the next attempt reads the new one; let the source write beside it and rename",
    )


def _signature(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"
