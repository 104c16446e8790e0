"""Segments: the inference log on the local disk, where a server process appends and others read.

A server process appends to segments of its own and hands each record to the operating system before
it answers: kill -9 loses no answered record. A power cut can lose what the system had not yet written
to the disk, seconds of it as a rule; an fsync a batch would cost the server most of its speed.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec


class Record(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True):
    """One answered instance, as a line of JSON."""

    id: str
    at: datetime
    """When the request was received, in UTC."""
    event_time: datetime
    pipeline: str
    version: int
    bundle: str
    partition: str
    """Monitoring partition of the event."""
    prediction: float
    latency_ms: float
    instance: Any
    features: Any
    defaulted: Any = None
    """By the name of each looked-up feature that holds its default: why."""


class SegmentWriter:
    """Appends records to a segment of this process alone, in `folder`; safe from several threads.

    The segment is locked while it may still grow, and the lock ends with the process. It is renewed
    when it has grown to `max_bytes` or to `max_age`.
    """

    def __init__(self, folder: Path, *, max_bytes: int = 64 * 2**20, max_age: timedelta = timedelta(hours=1)) -> None:
        self.folder = folder
        self._max_bytes, self._max_age = max_bytes, max_age
        self._encoder = msgspec.json.Encoder()
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._size, self._began = 0, 0.0

    def append(self, records: Sequence[msgspec.Struct]) -> None:
        """Hand `records` to the operating system in one write; raises OSError when it does not take them all."""
        if not records:
            return
        content = self._encoder.encode_lines(records)
        with self._lock:
            handle = self._segment()
            try:
                written = os.write(handle, content)
            except OSError:
                self._end()
                raise
            self._size += written
            if written < len(content):
                self._end()  # the torn line stays the last of its segment, where readers leave it out
                raise OSError(f"only {written} of {len(content)} bytes written to the log {self.folder}")

    def close(self) -> None:
        """End the segment; the next append begins another."""
        with self._lock:
            self._end()

    def _segment(self) -> int:
        full = self._size >= self._max_bytes or time.monotonic() - self._began >= self._max_age.total_seconds()
        if self._handle is not None and full:
            self._end()
        if self._handle is None:
            self._handle = _begin_segment(self.folder)
            self._size, self._began = 0, time.monotonic()
        return self._handle

    def _end(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def segments_in(folder: Path) -> list[Path]:
    """The segments of `folder`, oldest first."""
    return sorted(path for path in folder.glob("*.jsonl") if not path.name.startswith("."))


def whole_lines(path: Path, start: int, *, limit: int = -1) -> bytes:
    """The bytes of `path` from `start` to its last line end: a torn last line is nobody's answer."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(limit)
            while 0 < limit == len(content) and b"\n" not in content:
                limit *= 2
                file.seek(start)
                content = file.read(limit)
    except FileNotFoundError:  # taken in and removed by another process
        return b""
    return content[: content.rfind(b"\n") + 1]


def is_written(handle: int) -> bool:
    """Whether a process still writes the open segment. If none does, `handle` keeps it locked until it is closed."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _begin_segment(folder: Path) -> int:
    """Open a new locked segment. It gets its name after its lock, so that no reader finds it unlocked."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{os.urandom(4).hex()}.jsonl"
    hidden = folder / f".{name}"
    handle = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
    fcntl.flock(handle, fcntl.LOCK_EX)
    hidden.rename(folder / name)
    return handle
