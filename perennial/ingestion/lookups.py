"""Lookups: small tables beside the rows, joined in the version that was known at each row's time."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from perennial.errors import SourceError
from perennial.schema import Column, Schema, cast_partition
from perennial.sources import Lookup

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


def join_as_known(
    rows: pl.DataFrame, lookup: Lookup, versions: pl.DataFrame, keys: pl.Series, times: pl.Series
) -> tuple[pl.DataFrame, int]:
    """`rows` with the lookup's columns as `name.column`, and how many of their keys it lacks.

    Every row sees the last of `versions` that was known at its time; a row without a time sees the first.
    A version is whole: a key that it dropped is unknown from then on.
    """
    known = versions.get_column(KNOWN_FROM).unique().sort()
    number = known.search_sorted(times.fill_null(BEGINNING), side="right").cast(pl.Int64) - 1
    left = rows.with_columns(keys.cast(pl.String).alias(KEY), number.clip(0).alias(VERSION))
    right = versions.select(
        pl.col(lookup.key).alias(KEY),
        (pl.col(KNOWN_FROM).rank("dense").cast(pl.Int64) - 1).alias(VERSION),
        *(pl.col(name).alias(f"{lookup.name}.{name}") for name in lookup.columns),
        pl.lit(value=True).alias("__found"),
    )
    joined = left.join(right, on=[KEY, VERSION], how="left", maintain_order="left")
    lacking = joined.filter(pl.col(KEY).is_not_null() & pl.col("__found").is_null()).height
    return joined.drop(KEY, VERSION, "__found"), lacking
