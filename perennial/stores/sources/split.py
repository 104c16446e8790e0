"""Split: one file of all partitions, cut by event time, with the content hash of each part.

The cut is kept under PERENNIAL_HOME by the file's signature: 50 partitions parse it once, and a sensor
that looks every ten seconds parses it when it has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from perennial.casting import declared_column
from perennial.content import content_hash
from perennial.errors import SchemaSkew, SourceError
from perennial.ingestion.partitioned import Partitioned
from perennial.sources import Files
from perennial.stores.sources.content import Content
from perennial.stores.sources.formats import Rows, read_rows

KEY = "__partition"
KEPT = 2
"""Cuts of one source kept on disk: the newest, and the one that a run may be reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeFile:
    """One file that holds every partition, and where its cuts are kept."""

    source: Files
    location: str
    spool: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Where the rows of one partition lie in the cut, and what they say."""

    offset: int
    rows: int
    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The cut of one file."""

    folder: Path
    uri: str
    sha256: str
    size: int
    is_text: bool
    parts: Mapping[str, Part]

    def rows(self, key: str) -> pl.DataFrame:
        """The rows of partition `key`, in the file's order."""
        part = self.parts[key]
        return pl.scan_parquet(self.folder / "rows.parquet").slice(part.offset, part.rows).collect()


def open_split(
    pipeline: Partitioned, file: WholeFile, signature: str, fetch: Callable[[], Content], *, where: str
) -> Split:
    """The cut of `file`, which has `signature` now, made by reading what `fetch` gives if it is new."""
    shelf = file.spool / pipeline.name
    folder = shelf / _name(pipeline, file.location, signature)
    kept = _kept(folder) if signature else None  # nothing known of the file: no cut can be told to be its
    if kept is not None:
        return kept
    content = fetch()
    try:
        split = _cut(pipeline, file, content, where=where)
    except SourceError as error:
        error.signature = content.signature
        raise
    if content.signature != signature:
        folder = shelf / _name(pipeline, file.location, content.signature)
    return _keep(split, folder)


def _name(pipeline: Partitioned, location: str, signature: str) -> str:
    declared = pipeline.part_hash("schema", "time", "reading")
    return hashlib.sha256(f"{location}\n{signature}\n{declared}\n{pl.__version__}".encode()).hexdigest()[:32]


def _kept(folder: Path) -> Split | None:
    try:
        index = json.loads((folder / "index.json").read_text())
    except FileNotFoundError:
        return None
    return Split(folder=folder, **index | {"parts": {key: Part(**part) for key, part in index["parts"].items()}})


def _cut(pipeline: Partitioned, file: WholeFile, content: Content, *, where: str) -> Split:
    """Write the file's rows, sorted by partition, to a folder beside the final one."""
    rows = read_rows(content, file.source, spool=file.spool, where=where)
    keyed = rows.frame.with_columns(_keys(pipeline, rows, where=where)).sort(KEY, maintain_order=True)
    parts, offset = {}, 0
    for (key,), part in keyed.partition_by(KEY, as_dict=True, maintain_order=True).items():
        parts[str(key)] = Part(offset=offset, rows=part.height, content_hash=content_hash(part, leave_out=[KEY]))
        offset += part.height
    shelf = file.spool / pipeline.name
    shelf.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".cutting-", dir=shelf))
    split = Split(
        folder=folder,
        uri=content.uri,
        sha256=content.sha256,
        size=content.size,
        is_text=rows.is_text,
        parts=parts,
    )
    keyed.drop(KEY).write_parquet(folder / "rows.parquet", row_group_size=100_000)
    index = {name: value for name, value in asdict(split).items() if name != "folder"}
    (folder / "index.json").write_text(json.dumps(index))
    return split


def _keys(pipeline: Partitioned, rows: Rows, *, where: str) -> pl.Series:
    """The partition of each row; one without an event time goes to the first, where validation judges it."""
    calendar = pipeline.time
    try:
        times = declared_column(
            rows.frame,
            pipeline.schema,
            calendar.event_time,
            where=where,
            is_text=rows.is_text,
            timezone=calendar.timezone,
        )
    except SchemaSkew as error:
        raise SourceError.because("the event time of its rows cannot be read", error, where=where) from error
    local = calendar.utc(calendar.event_time).dt.convert_time_zone(str(calendar.zone))
    key = local.dt.strftime(calendar.key_format).fill_null(calendar.start).alias(KEY)
    return times.to_frame().select(key).to_series()


def _keep(split: Split, folder: Path) -> Split:
    """Give the cut its name at once, whole; forget the oldest ones."""
    try:
        split.folder.rename(folder)
    except OSError:  # another process has cut the same file
        shutil.rmtree(split.folder, ignore_errors=True)
        kept = _kept(folder)
        if kept is None:
            raise
        return kept
    others = [one for one in folder.parent.iterdir() if one != folder]
    others.sort(key=lambda one: one.stat().st_mtime_ns, reverse=True)
    for old in others[KEPT - 1 :]:
        shutil.rmtree(old, ignore_errors=True)
    os.utime(folder)
    kept = _kept(folder)
    if kept is None:
        raise SourceError("a cut vanished as it was made", where=str(folder), expected="one writer at a time")
    return kept
