"""Server: the process around the app: its socket, its log, and the thread that follows the routes."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from perennial.bundle.bundle import open_bundle
from perennial.errors import PerennialError
from perennial.prediction.scoring import Predictor
from perennial.settings import Home
from perennial.stores.models.bundles import BundleStore
from perennial.stores.online import open_reader
from perennial.stores.operations import Operations
from perennial.stores.production.segments import Record, SegmentWriter
from serving.alarms import Alarms
from serving.app import Parts, Server
from serving.batching import Batcher
from serving.events import EventIntake
from serving.lookup import Lookups
from serving.metrics import Metrics
from serving.models import Models, Served

log = logging.getLogger("serving")

POLL_SECONDS = 0.5
"""How often the routes are read."""
BACKLOG = 2048
"""Connections that wait to be accepted, at most."""
UNNUMBERED = 0
"""Version of a bundle that is served on its own."""


@dataclass(frozen=True, slots=True)
class LogWriters:
    """The segments of every pipeline, under `root`."""

    root: Path
    writers: dict[str, SegmentWriter] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, pipeline: str, records: Sequence[Record]) -> None:
        """Hand `records` to the operating system; raises OSError when it does not take them."""
        writer = self.writers.get(pipeline)
        if writer is None:
            with self.lock:
                writer = self.writers.setdefault(pipeline, SegmentWriter(self.root / pipeline))
        writer.append(records)

    def close(self) -> None:
        """End every segment."""
        for writer in self.writers.values():
            writer.close()


@dataclass(kw_only=True)
class Secret:
    """The key of the prediction ids, read once the operations database answers."""

    operations: Operations
    value: bytes | None = None

    def __call__(self) -> bytes:
        """The key."""
        if self.value is None:
            self.operations.migrate()
            self.value = self.operations.secret()
        return self.value


def serve(home: Home, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve the champions of every pipeline of `home` until the process is asked to end."""
    metrics = Metrics()
    models = Models(metrics=metrics)
    operations = Operations(home.operations_url)
    secret = Secret(operations=operations)
    inference_log = LogWriters(home.inference)
    lookups = Lookups(open_reader(home.online_store), metrics)
    batcher = Batcher(secret=secret, keep=inference_log.keep, metrics=metrics, lookups=lookups)
    events = EventIntake(root=home.pushed, now=_now)
    alarms = Alarms(lookups=lookups, alerts=operations, now=_now)
    follow = _follower(models, secret, operations, BundleStore(home.bundles), alarms)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ended = threading.Event()
        thread = threading.Thread(target=_repeat, args=(follow, ended), name="routes", daemon=True)
        thread.start()
        yield
        ended.set()
        batcher.close()
        await lookups.close()
        inference_log.close()
        events.close()

    parts = Parts(
        models=models, batcher=batcher, metrics=metrics, now=_now, events=events, feedback=operations, lifespan=lifespan
    )
    _run(Server(parts), host, port)


def serve_bundle(path: Path, *, host: str = "127.0.0.1", port: int = 8000, leashed: bool = False) -> None:
    """Serve the bundle in the folder `path` alone: no database, no log, no feedback.

    `leashed` ends the process when its standard input closes, which the kernel does when its parent dies.
    """
    if leashed:
        threading.Thread(target=_end_with_input, name="leash", daemon=True).start()
    bundle = open_bundle(path, path.name if len(path.name) == 64 else None)
    metrics = Metrics()
    models = Models(metrics=metrics, known=True)
    models.put(Served(pipeline=bundle.pipeline, version=UNNUMBERED, predictor=Predictor(bundle)))
    key = os.urandom(32)
    batcher = Batcher(secret=lambda: key, keep=lambda _pipeline, _records: None, metrics=metrics)
    _run(Server(Parts(models=models, batcher=batcher, metrics=metrics, now=_now)), host, port)


def _follower(
    models: Models, secret: Secret, operations: Operations, bundles: BundleStore, alarms: Alarms
) -> Callable[[], None]:
    def follow() -> None:
        try:
            secret()
        except (SQLAlchemyError, OSError, PerennialError) as error:
            models.note_trouble(error)
        else:
            models.refresh(operations, bundles)
            alarms.settle()

    return follow


def _repeat(follow: Callable[[], None], ended: threading.Event) -> None:
    """Follow the routes until the server ends. An unforeseen error is logged, and the next turn tries again."""
    while not ended.is_set():
        try:
            follow()
        except Exception:
            log.exception("the routes could not be followed")
        ended.wait(POLL_SECONDS)


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _run(app: Server, host: str, port: int) -> None:
    """Listen and answer; the first line of standard output is the address, written when it listens."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", ws="none", access_log=False, log_config=None, log_level="warning",
        timeout_graceful_shutdown=10, server_header=False,
    )  # fmt: skip
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    sys.stdout.write(f"http://{shown}:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[listener])


def _now() -> datetime:
    return datetime.now(UTC)
