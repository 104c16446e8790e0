"""Sources: reads the partitions that a pipeline's declared source names.

Another source is one class with `read` and `signatures`, and a line in `Sources`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from perennial.declaration import Pipeline
from perennial.errors import SourceError
from perennial.ingestion.landing import Arrival
from perennial.sources import Pushed, env
from perennial.stores.pushed import PushedEvents
from perennial.stores.sources.addresses import OBJECTS, WEB, public_address, scheme_of
from perennial.stores.sources.files import FileReader, Transport
from perennial.stores.sources.folder import Folder

__all__ = ["Sources"]

LOOK_EVERY = {"folder": timedelta(0), "objects": timedelta(minutes=1), "web": timedelta(minutes=15)}
"""The public web is asked least: a published month changes rarely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Every declared source, with the environment that places it."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def read(self, pipeline: Pipeline, partition: str, *, fetched_at: datetime) -> Arrival:
        """The partition as its source holds it now. Raises SourceError when there is none that can be read."""
        if self._is_pushed(pipeline):
            return self._pushed.read(pipeline, partition, fetched_at=fetched_at)
        return self._files(pipeline).read(pipeline, pipeline.source, partition, fetched_at=fetched_at)

    def signatures(self, pipeline: Pipeline, partitions: list[str]) -> dict[str, str]:
        """Of each of `partitions` that is there now: what changes when its content does.

        Raises SourceError when the source cannot be reached.
        """
        if self._is_pushed(pipeline):
            return self._pushed.signatures(pipeline, partitions)
        return self._files(pipeline).signatures(pipeline, pipeline.source, partitions)

    def folder(self, pipeline: Pipeline) -> Path:
        """The folder of this machine that holds the pipeline's files. Raises SourceError when there is none."""
        root = self._root(pipeline)
        if scheme_of(root):
            raise SourceError(
                "the source is no folder", where=pipeline.name, found=public_address(root), expected="a local folder"
            )
        return Path(root)

    def look_every(self, pipeline: Pipeline) -> timedelta:
        """How often the source may be looked at for something new: another machine is not asked every ten seconds."""
        if self._is_pushed(pipeline):
            return LOOK_EVERY["folder"]
        scheme = self._scheme(pipeline, self._root(pipeline))
        return LOOK_EVERY["web" if scheme in WEB else "objects" if scheme else "folder"]

    def path(self, pipeline: Pipeline, partition: str) -> Path:
        """Where the file of `partition` is expected."""
        return Path(self._files(pipeline).location(pipeline, pipeline.source, partition))

    @property
    def _pushed(self) -> PushedEvents:
        return PushedEvents(self.home / "pushed")

    def _is_pushed(self, pipeline: Pipeline) -> bool:
        source: object = pipeline.source
        return isinstance(source, Pushed)

    def _files(self, pipeline: Pipeline) -> FileReader:
        spool, root = self.home / "sources", self._root(pipeline)
        return FileReader(transport=self._transport(pipeline, root, spool), root=root, spool=spool)

    def _transport(self, pipeline: Pipeline, root: str, spool: Path) -> Transport:
        scheme, declared = self._scheme(pipeline, root), pipeline.source.root
        setting = declared.name if isinstance(declared, env) else "the source's root"
        if not scheme:
            return Folder(spool=spool, setting=setting)
        if scheme in WEB:
            from perennial.stores.sources.web import Web

            return Web(spool=spool, setting=setting)
        if scheme in OBJECTS:
            from perennial.stores.sources.bucket import Bucket

            return Bucket(spool=spool)
        raise SourceError(
            "the source's address has an unknown scheme",
            where=pipeline.name,
            found=f"{scheme}://",
            expected=f"a folder, or one of {', '.join(f'{one}://' for one in (*WEB, *OBJECTS))}",
        )

    def _scheme(self, pipeline: Pipeline, root: str) -> str:
        return scheme_of(pipeline.source.pattern.replace("{root}", root))

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
