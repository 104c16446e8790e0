"""Sources: reads the partitions that a pipeline's declared source names."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from perennial.declaration import Pipeline
from perennial.errors import SourceError
from perennial.ingestion.landing import Arrival
from perennial.sources import env


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFiles:
    """The files of declared `Files` sources, with the environment that places them."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def folder(self, pipeline: Pipeline) -> Path:
        """The folder that holds the pipeline's files. Raises SourceError when it is not configured."""
        root = pipeline.source.root
        if isinstance(root, env):
            value = self.environment.get(root.name) or root.default
            if value is None:
                raise SourceError(
                    "the source's folder is not configured",
                    where=pipeline.name,
                    found=f"no environment variable {root.name}",
                    expected="the folder that holds the files",
                    hint=f"set {root.name}=/path/to/folder",
                )
            root = value
        return Path(root.format(home=self.home))

    def path(self, pipeline: Pipeline, partition: str) -> Path:
        """Where the file of `partition` is expected."""
        start = datetime.strptime(partition, pipeline.time.key_format)  # noqa: DTZ007 - formats a name
        return Path(pipeline.source.pattern.format(root=self.folder(pipeline), partition=start))

    def read(self, pipeline: Pipeline, partition: str, *, fetched_at: datetime) -> Arrival:
        """The partition as its file holds it now. Raises SourceError when there is none that can be read."""
        path = self.path(pipeline, partition)
        where = f"{pipeline.name} {partition}"
        try:
            # Taken from the open file before it is read: one that is replaced or written meanwhile has another.
            with path.open("rb") as file:
                signature = _signature(os.fstat(file.fileno()))
                content = file.read()
        except OSError as error:
            raise _unreadable(error, path, where=where) from error
        try:
            frame = _parse(content, path, where=where)
        except SourceError as error:
            error.signature = signature
            raise
        return Arrival(
            partition=partition,
            frame=frame,
            uri=path.resolve().as_uri(),
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            signature=signature,
            fetched_at=fetched_at,
        )

    def signatures(self, pipeline: Pipeline, partitions: list[str]) -> dict[str, str]:
        """The signature of each of `partitions` whose file is there now; reads no content.

        Raises SourceError when the source's folder is not there or cannot be looked into.
        """
        folder = self.folder(pipeline)
        found: dict[str, str] = {}
        try:
            if not folder.is_dir():
                raise _no_folder(folder, where=pipeline.name, expected="the folder that holds the files")
            for partition in partitions:
                with suppress(FileNotFoundError):
                    found[partition] = _signature(self.path(pipeline, partition).stat())
        except OSError as error:
            raise SourceError(
                "the source cannot be looked into",
                where=pipeline.name,
                found=f"{error.strerror}: {error.filename}",
                expected="a folder of readable files",
            ) from error
        return found


def _signature(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _no_folder(folder: Path, *, where: str, expected: str) -> SourceError:
    return SourceError(
        "the source's folder is not there",
        where=where,
        found=f"no folder {folder}",
        expected=expected,
        hint="mount it, or set the source's root",
    )


def _unreadable(failure: OSError, path: Path, *, where: str) -> SourceError:
    """Why the file at `path` could not be opened or read."""
    absent = isinstance(failure, FileNotFoundError | NotADirectoryError)
    if absent and not path.parent.is_dir():
        return _no_folder(path.parent, where=where, expected=f"a folder with {path.name}")
    error = SourceError(
        "the partition's file cannot be read",
        where=where,
        found=f"{failure.strerror}: {path}",
        expected="a readable file",
        hint="wait until the source has delivered it",
    )
    with suppress(OSError):
        error.signature = _signature(path.stat())
    return error


def _parse(content: bytes, path: Path, *, where: str) -> pl.DataFrame:
    if content[:4] != b"PAR1" or content[-4:] != b"PAR1":
        raise SourceError(
            f"{path.name} is not a parquet file",
            where=where,
            found=f"{len(content)} bytes that start with {content[:16]!r}",
            expected="a complete parquet file",
            hint="a download may have been cut short or answered with an error page",
        )
    try:
        return pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(
            f"{path.name} is a damaged parquet file",
            where=where,
            found=str(error).splitlines()[0],
            expected="a complete parquet file",
        ) from error
