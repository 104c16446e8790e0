"""Sources: reads the partitions that a pipeline's declared source names.

Another source is one class with `read` and `signatures`, and a line in `Sources`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from perennial.declaration import Pipeline
from perennial.errors import SourceError
from perennial.ingestion.landing import Arrival
from perennial.sources import env
from perennial.stores.sources.files import FileReader
from perennial.stores.sources.folder import Folder

__all__ = ["Sources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Every declared source, with the environment that places it."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def read(self, pipeline: Pipeline, partition: str, *, fetched_at: datetime) -> Arrival:
        """The partition as its source holds it now. Raises SourceError when there is none that can be read."""
        return self._files(pipeline).read(pipeline, pipeline.source, partition, fetched_at=fetched_at)

    def signatures(self, pipeline: Pipeline, partitions: list[str]) -> dict[str, str]:
        """Of each of `partitions` that is there now: what changes when its content does.

        Raises SourceError when the source cannot be reached.
        """
        return self._files(pipeline).signatures(pipeline, pipeline.source, partitions)

    def folder(self, pipeline: Pipeline) -> Path:
        """The folder that holds the pipeline's files. Raises SourceError when it is not configured."""
        return Path(self._root(pipeline))

    def path(self, pipeline: Pipeline, partition: str) -> Path:
        """Where the file of `partition` is expected."""
        return Path(self._files(pipeline).location(pipeline, pipeline.source, partition))

    def _files(self, pipeline: Pipeline) -> FileReader:
        spool = self.home / "sources"
        return FileReader(transport=Folder(spool=spool), root=self._root(pipeline), spool=spool)

    def _root(self, pipeline: Pipeline) -> str:
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
        return root.format(home=self.home).rstrip("/")
