"""Pushed events on the local disk: the server appends each accepted request, and the landed asset reads it.

One line is what one request sent for one partition. It was handed to the operating system before the request
was answered: kill -9 loses no accepted event. A line is repeated when a client sends its request again; the
same request counts once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from perennial.content import content_hash
from perennial.declaration import Pipeline
from perennial.errors import SourceUnreachable
from perennial.ingestion.landing import Arrival
from perennial.ingestion.partitioned import Partitioned
from perennial.ingestion.pushed import Intake, frame_of, intake_of, received_of
from perennial.prediction.request import Row
from perennial.sources import Pushed
from perennial.stores.production.segments import SegmentWriter, segments_in, whole_lines

log = logging.getLogger(__name__)

INTAKE = "intake.json"
MOST_OPEN = 64
"""Partitions whose segments a process keeps open; one that was left the longest is closed for another."""


class Batch(msgspec.Struct, kw_only=True, gc=False):
    """What one request sent for one partition, as a line of JSON."""

    id: str
    """Equal for the same request sent again."""
    at: datetime
    """When it was received, in UTC; of one process never twice the same."""
    events: Any


@dataclass(kw_only=True)
class EventLog:
    """The events that this process accepted, under `root`, by pipeline and partition; safe from several threads."""

    root: Path
    _writers: OrderedDict[Path, SegmentWriter] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last: datetime | None = None

    def keep(self, pipeline: str, batch: str, partitions: Mapping[str, Sequence[Row]], *, at: datetime) -> None:
        """Hand the events of one request to the operating system; raises OSError when it does not take them all."""
        with self._lock:
            self._last = at if self._last is None else max(at, self._last + timedelta(microseconds=1))
            for key, rows in partitions.items():
                self._writer(self.root / pipeline / key).append([Batch(id=batch, at=self._last, events=rows)])

    def close(self) -> None:
        """End every segment."""
        with self._lock:
            while self._writers:
                self._writers.popitem()[1].close()

    def _writer(self, folder: Path) -> SegmentWriter:
        writer = self._writers.pop(folder, None) or SegmentWriter(folder)
        self._writers[folder] = writer
        if len(self._writers) > MOST_OPEN:
            self._writers.popitem(last=False)[1].close()
        return writer


@dataclass(frozen=True, slots=True)
class PushedEvents:
    """The pushed sources under `root`, as the graph reads them."""

    root: Path

    def read(self, pipeline: Partitioned, partition: str, *, fetched_at: datetime) -> Arrival:
        """The events of `partition` that were accepted by now, one of each key. Raises SourceError without any."""
        folder = self.root / pipeline.name / partition
        where = f"{pipeline.name} {partition}"
        signature = _signature(folder)
        batches = _batches(folder)
        received = [(event, batch.at) for batch in batches for event in batch.events]
        events = [event for event, _ in received]
        if not events:
            error = SourceUnreachable(
                "no event was pushed", where=where, found=f"nothing in {folder}", expected="events"
            )
            error.signature = signature
            raise error
        frame = frame_of(events, intake_of(pipeline))
        return Arrival(
            partition=partition,
            rows=frame,
            uri=folder.resolve().as_uri(),
            sha256=content_hash(frame),  # what the events say: one that was sent again changes nothing
            size=sum(path.stat().st_size for path in segments_in(folder)),
            signature=signature or "",
            fetched_at=fetched_at,
            received=received_of(received, intake_of(pipeline)),
        )

    def signatures(self, pipeline: Partitioned, partitions: Sequence[str]) -> dict[str, str]:
        """What changes with every event, of each of `partitions` that has any.

        Tells the server meanwhile what the pipeline takes, as it is declared now.
        """
        publish(self.root, pipeline)
        there = {path.name for path in (self.root / pipeline.name).iterdir()}
        found = {key: _signature(self.root / pipeline.name / key) for key in partitions if key in there}
        return {key: signature for key, signature in found.items() if signature is not None}


def publish(root: Path, pipeline: Partitioned) -> None:
    """Let every server under `root` know what the pushed source of `pipeline` takes."""
    path = root / pipeline.name / INTAKE
    text = intake_of(pipeline).to_json()
    if path.is_file() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{INTAKE}.{os.getpid()}.{threading.get_ident()}")
    draft.write_text(text)
    draft.replace(path)


def publish_all(root: Path, pipelines: Iterable[Pipeline]) -> None:
    """Publish each of `pipelines` whose source is pushed."""
    for pipeline in pipelines:
        source: object = pipeline.source
        if isinstance(source, Pushed):
            publish(root, pipeline)


def find_intake(root: Path, pipeline: str) -> tuple[str, Intake] | None:
    """What the pushed source of `pipeline` takes, and the text that says so; None when none was published."""
    try:
        text = (root / pipeline / INTAKE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return text.decode(), Intake.from_json(text)


def known_intakes(root: Path) -> list[str]:
    """The pipelines that take pushed events."""
    return sorted(path.parent.name for path in root.glob(f"*/{INTAKE}"))


def _signature(folder: Path) -> str | None:
    sizes = [f"{path.name}:{path.stat().st_size}" for path in segments_in(folder)]
    written = [size for size in sizes if not size.endswith(":0")]
    return hashlib.sha256("\n".join(written).encode()).hexdigest()[:32] if written else None


def _batches(folder: Path) -> list[Batch]:
    """What was sent for one partition, in the order of arrival, each request once."""
    decoder = msgspec.json.Decoder(Batch)
    batches: dict[str, Batch] = {}
    found: list[Batch] = []
    for path in segments_in(folder):
        for number, line in enumerate(whole_lines(path, 0).splitlines()):
            try:
                found.append(decoder.decode(line))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                # a power cut can leave one; nothing that was lost so was promised to outlive it
                log.warning("%s line %d is no batch of events and is passed over: %s", path, number + 1, error)
    for batch in sorted(found, key=lambda batch: batch.at):
        batches.setdefault(batch.id, batch)
    return list(batches.values())


def batch_id(idempotency_key: str | None, body: bytes) -> str:
    """Names a request: the same key with the same body is the same request, and without a key none is."""
    if idempotency_key is None:
        return os.urandom(16).hex()
    return hashlib.sha256(json.dumps(idempotency_key).encode() + body).hexdigest()
