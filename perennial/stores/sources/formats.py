"""Formats: the rows of a file, whatever it is wrapped in.

Parquet, text with a header, JSON lines, and each of them in a zip or a gzip. What is no table is one
SourceError that names what it really is.
"""

from __future__ import annotations

import fnmatch
import gzip
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from perennial.errors import SourceError
from perennial.sources import Csv, Files
from perennial.stores.sources.content import Content, take
from perennial.stores.sources.judging import NAMES, Nature, expected_kind, judge
from perennial.stores.sources.text import read_csv, read_json_lines

WRAPPERS = ("zip", "gzip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of one file under its own column names."""

    rows: pl.DataFrame | pl.LazyFrame
    """A large parquet file is read only when it is collected."""
    is_text: bool = False
    """Whether every value came as text, whatever it means."""

    @property
    def frame(self) -> pl.DataFrame:
        return self.rows.collect() if isinstance(self.rows, pl.LazyFrame) else self.rows


def read_rows(content: Content, source: Files, *, spool: Path, where: str) -> Rows:
    """The rows of `content` as `source` says to read them. Raises SourceError."""
    content = unwrap(content, source, spool=spool, where=where)
    nature = judge(content)
    expected = expected_kind(source, content.name)
    if nature.kind in ("nothing", *WRAPPERS) or (expected is not None and not _fits(nature, expected)):
        raise _not_a_table(content, nature, NAMES[expected or "nothing"], where=where)
    if nature.kind == "parquet":
        found = _read_parquet(content, where=where)
    elif nature.kind == "json lines" and not isinstance(source.format, Csv):
        found = Rows(rows=read_json_lines(content, where=where))
    else:
        declared = source.format if isinstance(source.format, Csv) else Csv()
        if nature.encoding and not declared.encoding.lower().replace("_", "-").startswith(nature.encoding):
            raise _not_a_table(content, nature, f"text in {declared.encoding}", where=where)
        found = Rows(rows=read_csv(content, declared, where=where), is_text=True)
    return _number(found, source.row_number, where=where)


def unwrap(content: Content, source: Files, *, spool: Path, where: str) -> Content:
    """What a zip or gzip holds; any other content as it is."""
    kind = judge(content).kind
    if kind not in WRAPPERS:
        if expected_kind(source, content.name) in WRAPPERS:
            wanted = expected_kind(source, content.name)
            raise _not_a_table(content, judge(content), NAMES[wanted or "nothing"], where=where)
        return content
    try:
        if kind == "gzip":
            with gzip.open(content.opened()) as stream:
                return take(stream, spool=spool, name=content.name.removesuffix(".gz"))
        with zipfile.ZipFile(content.opened()) as archive:
            member = _member(archive, source.member, name=content.name, where=where)
            with archive.open(member) as stream:
                return take(stream, spool=spool, name=Path(member).name)
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise SourceError(
            f"{content.name} is a damaged {kind}",
            where=where,
            found=str(error) or type(error).__name__,
            expected=f"a complete {kind} without a password",
            hint="a download may have been cut short",
        ) from error


def _member(archive: zipfile.ZipFile, pattern: str, *, name: str, where: str) -> str:
    files = [one for one in archive.namelist() if not one.endswith("/") and not one.startswith("__MACOSX/")]
    matching = [one for one in files if fnmatch.fnmatch(one, pattern) or fnmatch.fnmatch(Path(one).name, pattern)]
    if len(matching) != 1:
        raise SourceError(
            f"{name} holds {len(matching)} files of the pattern {pattern!r}",
            where=where,
            found=", ".join(files[:10]) or "nothing",
            expected="exactly one",
            hint="name it: Files(..., member='...')",
        )
    return matching[0]


def _fits(nature: Nature, expected: str) -> bool:
    if nature.kind == "json lines":  # a header may begin with a brace, too
        return expected in ("json lines", "csv")
    return nature.kind == expected


def _read_parquet(content: Content, *, where: str) -> Rows:
    file = content.opened() if content.in_memory else content.reopened()  # what this machine refuses is no damage
    try:
        if content.in_memory:
            return Rows(rows=pl.read_parquet(file))
        with file:
            lazy = pl.scan_parquet(file)
            lazy.collect_schema()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise SourceError(
            f"{content.name} is a damaged parquet file",
            where=where,
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            expected="a complete parquet file",
        ) from error
    return Rows(rows=lazy)


def _not_a_table(content: Content, nature: Nature, expected: str, *, where: str) -> SourceError:
    return SourceError(
        f"{content.name} is {nature.called}",
        where=where,
        found=f"{content.size} bytes that start with {content.head(4)!r}",
        expected=expected,
        hint=nature.hint,
    )


def _number(found: Rows, name: str | None, *, where: str) -> Rows:
    if name is None:
        return found
    if name in found.rows.lazy().collect_schema():
        raise SourceError(
            f"the source has a column {name!r} of its own", where=where, expected="another name for row_number"
        )
    number = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(name)
    return replace(found, rows=found.rows.with_columns(number))
