"""Fixtures of the server's tests: a home with releases in it, the app in process, and the real process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from perennial.deployment import Released, Version
from perennial.promotion.dossier import Dossier, Verdict
from perennial.settings import Home
from perennial.stores.models.bundles import BundleStore
from perennial.stores.operations import Operations
from serving.app import Parts, Server
from serving.batching import Batcher
from serving.events import EventIntake
from serving.lookup import Lookups
from serving.metrics import Metrics
from serving.models import Models
from serving.server import LogWriters
from tests.bundles import LOOKED_UP, looking_up_bundle, small_bundle

NOW = datetime(2024, 4, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class City:
    """A home whose operations and bundles a test can change while a server looks on."""

    home: Home
    operations: Operations
    bundles: BundleStore

    def release(self, slope: float, pipeline: str = "rides") -> Version:
        """Register and release the bundle of that slope."""
        files = looking_up_bundle(slope) if pipeline == LOOKED_UP.name else small_bundle(slope, name=pipeline)
        sha256 = self.bundles.put(files)
        champion = self.operations.champion(pipeline)
        number = self.operations.register_version(pipeline, sha256, "2024-01-31", {}, at=NOW)
        dossier = Dossier(
            pipeline=pipeline,
            bundle_sha256=sha256,
            as_of="2024-01-31",
            champion=champion.number if champion else None,
            verdicts=(Verdict(gate="parity", outcome="passed", reason="a test"),),
        )
        self.operations.save_dossier(dossier)
        released = self.operations.release(pipeline, number, actor="test", reason="a test", at=NOW)
        assert isinstance(released, Released), released
        return released.version


@dataclass(kw_only=True)
class Local:
    """The app without a process around it."""

    city: City
    models: Models
    metrics: Metrics
    server: Server
    log: LogWriters
    lookups: Lookups
    loop: asyncio.Runner = field(default_factory=asyncio.Runner)

    def use(self, lookups: Lookups) -> None:
        """Answer with these lookups from now on."""
        self.lookups = lookups
        batcher = Batcher(
            secret=self.city.operations.secret, keep=self.log.keep, metrics=self.metrics, lookups=lookups
        )  # fmt: skip
        parts = Parts(models=self.models, batcher=batcher, metrics=self.metrics, now=lambda: NOW)
        self.server = Server(parts)

    def follow(self) -> None:
        """Read the routes once, as the server's thread does."""
        self.models.refresh(self.city.operations, self.city.bundles)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Answer one request."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.server, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return self.loop.run(ask())

    def predict(self, *instances: Any, pipeline: str = "rides") -> httpx.Response:
        """Answer one predict request."""
        return self.request("POST", f"/v1/models/{pipeline}:predict", json={"instances": list(instances)})


@pytest.fixture
def city(home: Home) -> City:
    """Return a home without any release."""
    home.root.mkdir(parents=True)
    operations = Operations(home.operations_url)
    operations.migrate()
    return City(home=home, operations=operations, bundles=BundleStore(home.bundles))


@pytest.fixture
def local(city: City) -> Iterator[Local]:
    """Return the app on that home, with nothing followed yet."""
    metrics = Metrics()
    models = Models(metrics=metrics)
    log = LogWriters(city.home.inference)
    batcher = Batcher(secret=city.operations.secret, keep=log.keep, metrics=metrics)
    events = EventIntake(root=city.home.pushed, now=lambda: NOW)
    parts = Parts(
        models=models, batcher=batcher, metrics=metrics, now=lambda: NOW, events=events, feedback=city.operations
    )
    one = Local(
        city=city, models=models, metrics=metrics, server=Server(parts), log=log, lookups=Lookups(None, metrics)
    )
    with one.loop:
        yield one
    batcher.close()
    log.close()
    events.close()


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server process and a client of it."""

    process: subprocess.Popen[str]
    client: httpx.Client
    address: str

    def wait_until(self, claim: Callable[[httpx.Response], bool], path: str = "/readyz") -> httpx.Response:
        """Ask `path` until `claim` holds of the answer; the test's timeout bounds it."""
        while not claim(answer := self.client.get(path)):
            assert self.process.poll() is None
        return answer


@contextmanager
def running(home: Home) -> Iterator[Running]:
    """Run the real server process on `home`, ready."""
    command = [sys.executable, "-m", "serving", "--home", str(home.root), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
            server = Running(process=process, client=client, address=address)
            server.wait_until(lambda answer: answer.status_code == 200)
            yield server
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()
