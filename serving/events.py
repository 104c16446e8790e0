"""Events: `POST /v1/sources/{pipeline}/events`, checked against the declared source, all of a request or none.

An accepted request was handed to the operating system before it is answered, as predictions are. The same
request sent again, under the same `Idempotency-Key`, counts once, also across a restart.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from perennial.errors import RequestError, UnknownSource
from perennial.ingestion.pushed import MOST_EVENTS, Intake
from perennial.stores.production.pushed import EventLog, batch_id, find_intake, known_intakes
from serving.answers import TooLarge
from serving.batching import LogUnwritable

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""Of a pipeline: nothing that leads out of the folder."""
KEY = re.compile(r"[\x21-\x7e]{1,200}")
"""An Idempotency-Key: printable ASCII, such as a UUID."""
MOST_REMEMBERED = 100_000
"""Keys of accepted requests that a process remembers, to answer a repetition without writing it again."""


@dataclass(kw_only=True)
class EventIntake:
    """The pushed sources under `root`, as this process takes them; safe from several threads."""

    root: Path
    now: Callable[[], datetime]
    log: EventLog = field(init=False)
    _known: dict[str, tuple[str, Intake]] = field(default_factory=dict)
    _accepted: OrderedDict[tuple[str, str], str] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.log = EventLog(root=self.root)

    def take(self, pipeline: str, body: bytes, idempotency_key: str | None) -> dict[str, Any]:
        """Keep the events of one request; the answer.

        Raises UnknownSource, TooLarge, BodyError, FieldError for the first event that does not fit, RequestError
        for a key of another request, LogUnwritable when they could not be kept: then none counts as accepted.
        """
        intake = self.find(pipeline)
        rows = intake.reader.decode(body)
        if len(rows) > MOST_EVENTS:
            raise TooLarge("too many events", where="request", found=str(len(rows)), expected=f"at most {MOST_EVENTS}")
        received = self.now()
        partitions = intake.partitions_of(rows, now=received)
        answer = {"received": len(rows), "partitions": sorted(partitions), "repeated": False}
        if self._is_repeated(pipeline, idempotency_key, body):
            return answer | {"repeated": True}
        try:
            self.log.keep(pipeline, batch_id(idempotency_key, body), partitions, at=received)
        except OSError as error:
            raise LogUnwritable(f"{pipeline}: the events could not be kept, send them again: {error}") from error
        self._remember(pipeline, idempotency_key, body)
        return answer

    def find(self, pipeline: str) -> Intake:
        """What the source of `pipeline` takes, as it was published last. Raises UnknownSource."""
        found = find_intake(self.root, pipeline) if NAME.fullmatch(pipeline) else None
        if found is None:
            raise UnknownSource(
                "no pushed source is known",
                where=pipeline[:100],
                expected=f"one of {', '.join(self.names()) or 'none yet'}",
                hint="declare source=Pushed(), and start perennial serve or perennial up again",
            )
        before = self._known.get(pipeline)
        if before is None or before[0] != found[0]:
            self._known[pipeline] = found  # another text: the declaration has changed
        return self._known[pipeline][1]

    def names(self) -> list[str]:
        """The pipelines that take events."""
        return known_intakes(self.root)

    def close(self) -> None:
        """End every segment."""
        self.log.close()

    def _is_repeated(self, pipeline: str, key: str | None, body: bytes) -> bool:
        """Whether this very request was accepted before. Raises RequestError when its key was another's."""
        if key is None:
            return False
        if not KEY.fullmatch(key):
            raise RequestError(
                "the Idempotency-Key does not fit",
                where="request",
                found=repr(key)[:60],
                expected="1 to 200 printable characters",
            )
        with self._lock:
            accepted = self._accepted.get((pipeline, key))
        if accepted is not None and accepted != _digest(body):
            raise RequestError(
                "the Idempotency-Key belongs to another request",
                where="request",
                found=repr(key)[:60],
                expected="the body it was sent with first, or a key of its own",
            )
        return accepted is not None

    def _remember(self, pipeline: str, key: str | None, body: bytes) -> None:
        if key is None:
            return
        with self._lock:
            self._accepted[pipeline, key] = _digest(body)
            if len(self._accepted) > MOST_REMEMBERED:
                self._accepted.popitem(last=False)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
