"""Lookups: the versions of a pipeline's small tables, kept in the lake beside its rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from perennial.beside import Lookup
from perennial.content import content_hash
from perennial.declaration import Pipeline
from perennial.errors import SchemaSkew, SourceError
from perennial.ingestion.landing import Arrival
from perennial.ingestion.lookups import BEGINNING, KNOWN_FROM, KnownVersions, read_version
from perennial.stores.lake.lakehouse import Lakehouse
from perennial.stores.sources import Sources
from perennial.stores.sources.content import Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookups:
    """The lookups of every pipeline: `lookups/{name}` beside its tables."""

    lakehouse: Lakehouse
    sources: Sources
    holding: Callable[[str], AbstractContextManager[None]] = lambda _table: nullcontext()
    """The lock of a table, which writers of other processes wait for."""
    problems: dict[str, SourceError | SchemaSkew] = field(default_factory=dict)
    """Why a lookup could not be read, by its name; the rows that need it say so."""
    judged: dict[str, str] = field(default_factory=dict)
    """The signature of the file that was judged, by its lookup's name; empty where none could be had."""

    def refresh(self, pipeline: Pipeline, *, at: datetime) -> None:
        """Keep a new version of each lookup whose content changed.

        The first version counts from the beginning, a later one from when it was read. One that cannot be
        read leaves its last version standing.
        """
        for lookup in pipeline.lookups:
            where = f"{pipeline.name} lookup {lookup.name}"
            try:
                self._keep(pipeline, lookup, at=at, where=where)
            except (SourceError, SchemaSkew) as error:
                self.problems[lookup.name] = error
                self.judged.setdefault(lookup.name, getattr(error, "signature", None) or "")

    @property
    def awaited(self) -> dict[str, str]:
        """Of each lookup that could not be read: what its file was, to see when it is another."""
        return {name: self.judged[name] for name in self.problems}

    def versions(self, pipeline: Pipeline, lookup: Lookup) -> pl.DataFrame | None:
        """Every version of `lookup`, or None before the first; one kept by another key is none of it."""
        table = self._table(pipeline, lookup)
        kept = self.lakehouse.scan(table).collect() if self.lakehouse.exists(table) else pl.DataFrame()
        return kept.filter(pl.col(lookup.key).is_not_null()) if lookup.key in kept.columns else None

    def join(self, pipeline: Pipeline, arrival: Arrival) -> Arrival:
        """`arrival` with the versions of its pipeline's lookups beside it. Raises SourceError where there is none."""
        where, window = f"{pipeline.name} {arrival.partition}", pipeline.time.window(arrival.partition)
        notes, beside = list(arrival.notes), list(arrival.beside)
        for lookup in pipeline.lookups:
            versions = self.versions(pipeline, lookup)
            if versions is None or not set(lookup.columns) <= set(versions.columns):
                raise self._none(lookup, where=where)
            beside.append(KnownVersions(lookup=lookup, versions=versions, window=window))
            if lookup.name in self.problems:
                notes.append(f"lookup {lookup.name}: its last version stands, for {self.problems[lookup.name]}")
        return replace(arrival, notes=tuple(notes), beside=tuple(beside))

    def _none(self, lookup: Lookup, *, where: str) -> SourceError:
        """What to raise for rows that need `lookup` before it was read once."""
        what, problem = f"the lookup {lookup.name!r} has no version", self.problems.get(lookup.name)
        if problem is None:
            return SourceError(what, where=where, expected="one that was read")
        return SourceError.because(what, problem, where=where)

    def _keep(self, pipeline: Pipeline, lookup: Lookup, *, at: datetime, where: str) -> None:
        content, found = self.sources.read_file(pipeline, lookup.source, where=where)
        self.judged[lookup.name] = content.signature
        frame = read_version(found.frame, lookup, where=where, is_text=found.is_text)
        with self.holding(self._table(pipeline, lookup)):  # another run may keep the same file just now
            self._write(pipeline, lookup, frame, content, at=at)

    def _write(
        self, pipeline: Pipeline, lookup: Lookup, frame: pl.DataFrame, content: Content, *, at: datetime
    ) -> None:
        standing = self.versions(pipeline, lookup)
        if standing is not None:
            standing = self._widen(pipeline, lookup, standing, frame)
            newest = standing.filter(pl.col(KNOWN_FROM) == pl.col(KNOWN_FROM).max()).select(frame.columns)
            if content_hash(newest.sort(lookup.key)) == content_hash(frame.sort(lookup.key)):
                return
        known_from = BEGINNING if standing is None else at
        version = frame.with_columns(
            pl.lit(known_from.isoformat()).alias("partition"),
            pl.lit(known_from).cast(pl.Datetime("us", "UTC")).alias(KNOWN_FROM),
            uri=pl.lit(content.uri),
            sha256=pl.lit(content.sha256),
            fetched_at=pl.lit(at).cast(pl.Datetime("us", "UTC")),
            licence=pl.lit(lookup.source.licence),
        )
        self.lakehouse.overwrite(self._table(pipeline, lookup), version, partitions=[known_from.isoformat()])

    def _widen(self, pipeline: Pipeline, lookup: Lookup, standing: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
        """Earlier versions with the columns that are taken only now, as `frame` has them: nobody kept those."""
        new = [name for name in frame.columns if name not in standing.columns]
        if not new:
            return standing
        wider = standing.join(frame.select(lookup.key, *new), on=lookup.key, how="left", maintain_order="left")
        self.lakehouse.overwrite(self._table(pipeline, lookup), wider, partitions=wider["partition"].unique().to_list())
        return wider

    @staticmethod
    def _table(pipeline: Pipeline, lookup: Lookup) -> str:
        return pipeline.table(f"lookups/{lookup.name}")
