"""Lookups: small tables beside the rows, joined in the version that was known at each row's time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from perennial.beside import Lookup
from perennial.casting import cast_partition
from perennial.errors import SourceError
from perennial.ingestion.joining import Joined, Origin
from perennial.schema import Column, Schema
from perennial.time import Window

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""From when the first version counts: what was known before it nobody has."""
KNOWN_FROM = "known_from"
VERSION = "__version"
KEY = "__key"


def read_version(frame: pl.DataFrame, lookup: Lookup, *, where: str, is_text: bool) -> pl.DataFrame:
    """One version in its declared types: the key as text, then the columns. Raises SourceError and SchemaSkew."""
    columns = {name: Column(kind) for name, kind in lookup.columns.items() if name != lookup.key}
    schema = Schema({lookup.key: Column("string"), **columns}, allow_additional=True)
    keyed = frame.with_columns(pl.col(lookup.key).cast(pl.String)) if lookup.key in frame.columns else frame
    typed = cast_partition(keyed, schema, where=where, is_text=is_text).frame
    if not typed.height:
        raise SourceError(f"the lookup {lookup.name!r} has no rows", where=where, expected="at least one")
    twice = typed.filter(pl.col(lookup.key).is_duplicated() | pl.col(lookup.key).is_null())
    if twice.height:
        raise SourceError(
            f"the lookup {lookup.name!r} has a key twice, or none",
            where=where,
            found=f"{lookup.key} {twice[lookup.key][0]!r} and {twice.height - 1} more rows",
            expected="a key of its own for each row",
        )
    return typed


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownVersions:
    """A lookup with every version that was kept of it.

    Every row sees the last version that was known at its time; a row without a time sees the first. A
    version is whole: a key that it dropped is unknown from then on.
    """

    lookup: Lookup
    versions: pl.DataFrame
    window: Window
    """Of the rows that it is joined to."""

    @property
    def name(self) -> str:
        """Its declared name."""
        return self.lookup.name

    @property
    def found_by(self) -> tuple[str, ...]:
        """Declared columns of the rows that it is found by."""
        return self.lookup.found_by

    @property
    def origins(self) -> list[Origin]:
        """Of each version that was known at some time of the window, else the first: where it came from."""
        kept = self.versions.select(KNOWN_FROM, "uri", "sha256", "licence").unique(KNOWN_FROM).sort(KNOWN_FROM)
        until = pl.col(KNOWN_FROM).shift(-1)
        seen = kept.filter(
            (pl.col(KNOWN_FROM) < self.window.end) & (until.is_null() | (until > self.window.start)),
        )
        found = (seen if seen.height else kept.head(1)).rows(named=True)
        return [Origin(uri=one["uri"], sha256=one["sha256"], licence=one["licence"]) for one in found]

    def join(self, rows: pl.DataFrame, keys: Sequence[pl.Series], times: pl.Series) -> Joined:
        """`rows` with the lookup's columns as `name.column`, and how many of their keys it lacks."""
        (key,) = keys
        known = self.versions.get_column(KNOWN_FROM).unique().sort()
        number = known.search_sorted(times.fill_null(BEGINNING), side="right").cast(pl.Int64) - 1
        names = [f"{self.name}.{name}" for name in self.lookup.columns]
        left = rows.drop(names, strict=False).with_columns(
            key.cast(pl.String).alias(KEY), number.clip(0).alias(VERSION)
        )
        right = self.versions.select(
            pl.col(self.lookup.key).alias(KEY),
            (pl.col(KNOWN_FROM).rank("dense").cast(pl.Int64) - 1).alias(VERSION),
            *(pl.col(name).alias(joined) for name, joined in zip(self.lookup.columns, names, strict=True)),
            pl.lit(value=True).alias("__found"),
        )
        joined = left.join(right, on=[KEY, VERSION], how="left", maintain_order="left")
        lacking = joined.filter(pl.col(KEY).is_not_null() & pl.col("__found").is_null()).height
        told = {f"lookup {self.name}: {{}} have a key that it lacks": lacking}
        return Joined(rows=joined.drop(KEY, VERSION, "__found"), told=told)
