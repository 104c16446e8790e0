"""Inference log: one record an answered instance, from the server's segments into the lake exactly once.

How far a segment was taken in is kept by the lake table itself, in the commit that adds the rows
(a Delta application transaction named like the segment, its version the byte offset): a record is
either in no commit or in exactly one, wherever a process dies and however many take in at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from perennial.bundle.bundle import RequestColumn, RequestSchema
from perennial.schema import POLARS_TYPES
from perennial.settings import Home
from perennial.stores.production.segments import Record, is_written, segments_in, whole_lines

TABLE = "inference_log"
LAKE_SCHEMA = {
    "id": pl.String(),
    "at": pl.Datetime("us", "UTC"),
    "event_time": pl.Datetime("us", "UTC"),
    "pipeline": pl.String(),
    "version": pl.Int64(),
    "bundle": pl.String(),
    "partition": pl.String(),
    "prediction": pl.Float64(),
    "latency_ms": pl.Float64(),
    "instance": pl.String(),
    "features": pl.String(),
    "defaulted": pl.String(),
}
"""Columns of the lake table; `instance`, `features` and `defaulted` are JSON, since they differ between pipelines."""
_COMMIT_BYTES = 32 * 2**20
"""Most bytes of segments that one commit takes."""
_ATTEMPTS = 10
"""How often a commit may fail in a row while the table stands still."""


class _Line(Record, kw_only=True, gc=False):
    instance: msgspec.Raw
    features: msgspec.Raw
    defaulted: msgspec.Raw = msgspec.Raw(b"null")  # in a union with None msgspec takes nothing but null


class _Partition(msgspec.Struct):
    partition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenIn:
    """What one call of `take_in` added to the lake."""

    partitions: Mapping[str, int] = field(default_factory=dict)
    """New records by monitoring partition."""
    unreadable: int = 0
    """Lines that are no record, as a power cut can leave them; they were passed over."""

    @property
    def rows(self) -> int:
        """New records in all."""
        return sum(self.partitions.values())


def take_in(folder: Path, table: str, storage_options: Mapping[str, str] | None = None) -> TakenIn:
    """Add what the segments of `folder` hold, and the Delta table at `table` does not, to that table.

    Every record reaches it exactly once: after a kill -9 at any moment, and from several processes.
    """
    options = dict(storage_options or {})
    partitions: dict[str, int] = {}
    unreadable = 0
    failed: list[Mapping[str, int]] = []
    while segments := segments_in(folder):
        delta = _open_table(table, options)
        offsets = {path.name: delta.transaction_version(path.name) or 0 for path in segments}
        chunks = _new_chunks(segments, offsets)
        if not chunks:
            break
        rows, passed_over = _decode(chunk for _, chunk in chunks)
        try:
            _commit(delta, rows, {name: offsets[name] + len(chunk) for name, chunk in chunks}, options)
        except _conflict():
            # another process took some of it first: look again, unless nobody gets anywhere
            failed = [*failed, offsets] if failed[-1:] == [offsets] else [offsets]
            if len(failed) == _ATTEMPTS:
                raise
            continue
        unreadable += passed_over
        for partition, count in rows.group_by("partition").len().iter_rows():
            partitions[partition] = partitions.get(partition, 0) + count
    return TakenIn(partitions=dict(sorted(partitions.items())), unreadable=unreadable)


def remove_taken(
    folder: Path,
    table: str,
    *,
    before: datetime,
    cursor: str | None = None,
    storage_options: Mapping[str, str] | None = None,
) -> list[str]:
    """Remove the segments last written before `before` that no process writes and that are all taken in.

    What `pending_partitions` has not told the holder of `cursor` stays; None means that nobody holds one.
    """
    delta = _open_table(table, dict(storage_options or {}))
    told: dict[str, int] | None = json.loads(cursor) if cursor else None
    removed = []
    for path in segments_in(folder):
        with suppress(FileNotFoundError), path.open("rb") as file:
            status = os.fstat(file.fileno())
            if datetime.fromtimestamp(status.st_mtime, UTC) >= before or is_written(file.fileno()):
                continue
            end = file.read().rfind(b"\n") + 1
            taken = delta.transaction_version(path.name) or 0
            if min(taken, end if told is None else told.get(path.name, 0)) >= end:
                path.unlink()
                removed.append(path.name)
    return removed


def pending_partitions(home: Home, pipeline: str, cursor: str | None) -> tuple[str, set[str]]:
    """The monitoring partitions with records after `cursor`, and the cursor to ask with next; the first is None.

    Reads only the new bytes of the segments and writes nothing. The cursor forgets segments that are gone.
    """
    offsets: dict[str, int] = json.loads(cursor) if cursor else {}
    segments = segments_in(home.inference / pipeline)
    decoder = msgspec.json.Decoder(_Partition)
    found: set[str] = set()
    reached = {}
    for path in segments:
        start = offsets.get(path.name, 0)
        chunk = whole_lines(path, start)
        reached[path.name] = start + len(chunk)
        for line in chunk.splitlines():
            with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                found.add(decoder.decode(line).partition)
    return json.dumps(reached, sort_keys=True), found


def read_inference_log(
    table: str,
    partitions: Sequence[str],
    schema: RequestSchema,
    storage_options: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """The records of `partitions`, oldest first, with the instance's fields as columns of their declared types.

    A field that is also a column of the log is named `instance.{field}`. A field that a record lacks,
    because another version asked for other fields, is null.
    """
    options = dict(storage_options or {})
    if not table_exists(table, options):
        rows = pl.DataFrame(schema=LAKE_SCHEMA)
    else:
        scan = pl.scan_delta(table, storage_options=options or None)
        rows = (
            scan.filter(pl.col("partition").is_in(list(partitions)))
            .collect()
            .select(list(LAKE_SCHEMA))
            .sort("at", "id")
        )
    decoded = decode_instances(rows["instance"], (*schema.columns, *schema.optional))
    named = decoded.rename({name: f"instance.{name}" for name in decoded.columns if name in LAKE_SCHEMA})
    return rows.drop("instance").hstack(named)


def decode_instances(instances: pl.Series, fields: Sequence[RequestColumn]) -> pl.DataFrame:
    """Logged instances as columns of their declared types; a field that one lacks is null."""
    read_as = {f.name: pl.String() if f.kind == "datetime" else POLARS_TYPES[f.kind] for f in fields}
    decoded = instances.str.json_decode(pl.Struct(read_as)).struct.unnest()
    return decoded.with_columns(pl.col(f.name).str.to_datetime(time_unit="us") for f in fields if f.kind == "datetime")


def table_exists(table: str, storage_options: Mapping[str, str] | None = None) -> bool:
    """Whether anything was ever taken in."""
    from deltalake import DeltaTable

    return bool(DeltaTable.is_deltatable(table, storage_options=dict(storage_options or {})))


def _new_chunks(segments: Sequence[Path], offsets: Mapping[str, int]) -> list[tuple[str, bytes]]:
    """Whole lines not yet taken, by segment, up to _COMMIT_BYTES in all."""
    chunks, size = [], 0
    for path in segments:
        chunk = whole_lines(path, offsets[path.name], limit=_COMMIT_BYTES - size)
        if chunk:
            chunks.append((path.name, chunk))
            size += len(chunk)
        if size >= _COMMIT_BYTES // 2:
            break
    return chunks


def _decode(chunks: Iterator[bytes]) -> tuple[pl.DataFrame, int]:
    decoder = msgspec.json.Decoder(_Line)
    lines: list[dict[str, Any]] = []
    unreadable = 0
    for chunk in chunks:
        for text in chunk.splitlines():
            try:
                record = decoder.decode(text)
                values = {name: getattr(record, name) for name in LAKE_SCHEMA}
                raw = {name: value for name, value in values.items() if isinstance(value, msgspec.Raw)}
                texts = {name: bytes(value).decode() for name, value in raw.items()}
                lines.append(values | {name: None if text == "null" else text for name, text in texts.items()})
            except (msgspec.MsgspecError, UnicodeDecodeError):
                unreadable += 1
    return pl.DataFrame(lines, schema=LAKE_SCHEMA), unreadable


def _open_table(table: str, options: dict[str, str]) -> Any:
    from deltalake import DeltaTable

    if not table_exists(table, options):
        if "://" not in table:
            Path(table).mkdir(parents=True, exist_ok=True)
        empty = pl.DataFrame(schema=LAKE_SCHEMA).to_arrow(compat_level=pl.CompatLevel.oldest())
        DeltaTable.create(
            table, schema=empty.schema, partition_by=["partition"], mode="ignore", storage_options=options
        )
    return DeltaTable(table, storage_options=options)


def _commit(delta: Any, rows: pl.DataFrame, offsets: Mapping[str, int], options: dict[str, str]) -> None:
    """Append `rows` and record how far each segment is taken, in one commit on the version that was looked at."""
    from deltalake import CommitProperties, Transaction, write_deltalake

    write_deltalake(
        delta,
        rows.to_arrow(compat_level=pl.CompatLevel.oldest()),
        mode="append",
        schema_mode="merge",
        storage_options=options,
        commit_properties=CommitProperties(
            app_transactions=[Transaction(name, offset) for name, offset in offsets.items()]
        ),
    )


def _conflict() -> type[Exception]:
    from deltalake.exceptions import CommitFailedError

    return CommitFailedError
