"""Sources: reads the partitions that a pipeline's declared source names.

Another source is one class with `read` and `signatures`, and a line in `Sources`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from perennial.declaration import Pipeline
from perennial.errors import SourceError, SourceUnreachable
from perennial.ingestion.landing import Arrival
from perennial.ingestion.partitioned import Partitioned
from perennial.settings import Home
from perennial.sources import Files, InferenceLog, Pushed, Source, Sql, env
from perennial.stores.production.pushed import PushedEvents
from perennial.stores.sources.addresses import OBJECTS, WEB, public_address, scheme_of
from perennial.stores.sources.content import Content
from perennial.stores.sources.files import FileReader, Transport
from perennial.stores.sources.folder import Folder
from perennial.stores.sources.formats import Rows

__all__ = ["Sources"]

LOOK_EVERY = {
    "here": timedelta(0),
    "database": timedelta(minutes=1),
    "objects": timedelta(minutes=1),
    "log": timedelta(minutes=5),
    "web": timedelta(minutes=15),
}
"""The public web is asked least: a published month changes rarely. A look at a log reads every id and time."""


class Reader(Protocol):
    """One kind of source."""

    def read(self, pipeline: Partitioned, partition: str, *, fetched_at: datetime) -> Arrival:
        """The partition as the source holds it now. Raises SourceError."""

    def signatures(self, pipeline: Partitioned, partitions: list[str]) -> dict[str, str]:
        """Of each partition that is there now: what changes when its content does. Raises SourceError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Every declared source, with the environment that places it."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    state: Home | None = None
    """Where the lake, the bundles and the outcomes lie; an inference log is read with no other."""

    def read(self, pipeline: Partitioned, partition: str, *, fetched_at: datetime) -> Arrival:
        """The partition as its source holds it now. Raises SourceError when there is none that can be read."""
        return self._reader(pipeline).read(pipeline, partition, fetched_at=fetched_at)

    def signatures(self, pipeline: Partitioned, partitions: list[str]) -> dict[str, str]:
        """Of each of `partitions` that is there now: what changes when its content does.

        Raises SourceError when the source cannot be reached.
        """
        return self._reader(pipeline).signatures(pipeline, partitions)

    def read_file(self, pipeline: Pipeline, source: Files, *, where: str) -> tuple[Content, Rows]:
        """One file beside the partitions, such as a lookup's. Raises SourceError."""
        return self._files(pipeline, source).read_file(where=where)

    def look_at_lookups(self, pipeline: Pipeline) -> dict[str, str]:
        """Of each lookup: what changes when its file does, empty where it cannot be had."""
        found = {each.name: "" for each in pipeline.lookups}
        for each in pipeline.lookups:
            with suppress(SourceError):
                found[each.name] = self._files(pipeline, each.source).look_at_file(where=pipeline.name)
        return found

    def folder(self, pipeline: Pipeline) -> Path:
        """The folder of this machine that holds the pipeline's files. Raises SourceError when there is none."""
        source = pipeline.source
        root = self._value(pipeline, source.root) if isinstance(source, Files) else type(source).__name__
        if not isinstance(source, Files) or scheme_of(root):
            found = public_address(root)
            raise SourceError("the source is no folder", where=pipeline.name, found=found, expected="a local folder")
        return Path(root)

    def path(self, pipeline: Pipeline, partition: str) -> Path:
        """Where the file of `partition` is expected."""
        start = datetime.strptime(partition, pipeline.time.key_format)  # noqa: DTZ007 - formats a name
        folder = self.folder(pipeline)
        pattern = pipeline.source.pattern if isinstance(pipeline.source, Files) else ""
        return Path(pattern.format(root=folder, partition=start))

    def look_every(self, pipeline: Pipeline, *, lookups: bool) -> timedelta:
        """How often its rows and timelines may be looked at for something new, and its `lookups` if they are too.

        Other machines are not asked every 10 s. Raises SourceError where a place is not configured; one of a
        lookup is looked at nowhere.
        """
        sources = (pipeline.source, *(each.source for each in pipeline.timelines))
        every = max(self._look_every(pipeline, source) for source in sources)
        for each in pipeline.lookups if lookups else ():
            with suppress(SourceError):
                every = max(every, self._look_every(pipeline, each.source))
        return every

    def _look_every(self, pipeline: Pipeline, source: Source) -> timedelta:
        match source:
            case Files():
                scheme = _scheme(source, self._value(pipeline, source.root))
                return LOOK_EVERY["web" if scheme in WEB else "objects" if scheme else "here"]
            case Sql():
                return LOOK_EVERY["database"]
            case InferenceLog():
                return LOOK_EVERY["log"]
            case Pushed():
                return LOOK_EVERY["here"]

    def _reader(self, pipeline: Partitioned) -> Reader:
        match pipeline.source:
            case Files() as source:
                return self._files(pipeline, source)
            case Sql() as source:
                from perennial.stores.sources.sql import SqlReader

                return SqlReader(source=source, url=self._value(pipeline, source.url))
            case Pushed():
                return PushedEvents(self.home / "pushed")
            case InferenceLog() as source:
                from perennial.stores.sources.answered import AnsweredReader

                if self.state is None:
                    raise SourceError(
                        "an inference log is read in no home",
                        where=pipeline.name,
                        expected="the home whose lake holds it",
                        hint="Sources(home=home.root, state=home)",
                    )
                return AnsweredReader(source=source, home=self.state)

    def _files(self, pipeline: Partitioned, source: Files) -> FileReader:
        spool, root = self.home / "sources", self._value(pipeline, source.root)
        transport = self._transport(pipeline, source, root, spool)
        return FileReader(source=source, transport=transport, root=root, spool=spool)

    def _transport(self, pipeline: Partitioned, source: Files, root: str, spool: Path) -> Transport:
        scheme = _scheme(source, root)
        setting = source.root.name if isinstance(source.root, env) else "the source's root"
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

    def _value(self, pipeline: Partitioned, declared: env | str) -> str:
        """A declared place, looked up in the environment. Raises SourceError when it is not set."""
        if isinstance(declared, env):
            value = self.environment.get(declared.name) or declared.default
            if value is None:
                raise SourceUnreachable(
                    "the source's place is not configured",
                    where=pipeline.name,
                    found=f"no environment variable {declared.name}",
                    expected="the folder that holds the files, or an address",
                    hint=f"set {declared.name}=/path/to/folder",
                )
            declared = value
        return declared.format(home=self.home).rstrip("/")


def _scheme(source: Files, root: str) -> str:
    return scheme_of(source.pattern.replace("{root}", root))
