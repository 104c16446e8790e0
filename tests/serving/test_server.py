"""Server: the real process, killed and swapped under load, with every answer recomputed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import polars as pl
import pytest
import uvicorn

from perennial.prediction.scoring import Predictor
from perennial.stores.production.inference_log import take_in
from serving.server import _run
from tests.bundles import an_instance, rows_of
from tests.records import ids_in
from tests.serving.conftest import City, Local, Running, running


@dataclass(kw_only=True)
class Load:
    """Clients that ask for one prediction at a time, and what they were answered."""

    address: str
    answers: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    ended: bool = False

    async def _client(self, number: int) -> None:
        host, port = self.address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            while not self.ended:
                number += 16
                await self._ask(an_instance(number), reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _ask(self, instance: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"instances": [instance]}).encode()
        head = f"POST /v1/models/rides:predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answered = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answered.split("content-length: ")[1].split("\r\n")[0])
        content = json.loads(await reader.readexactly(length))
        if answered.startswith("http/1.1 200"):
            self.answers.append((instance, content))
        else:
            self.failures.append(str(content))

    async def _drive(self) -> None:
        outcomes = await asyncio.gather(*map(self._client, range(16)), return_exceptions=True)
        self.failures += [repr(outcome) for outcome in outcomes if outcome is not None]

    def __enter__(self) -> Load:
        """Start asking."""
        self.thread = threading.Thread(target=lambda: asyncio.run(self._drive()))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop asking, after the answers that are under way."""
        self.ended = True
        self.thread.join()

    def wait_for(self, count: int) -> None:
        """Wait until that many answers came."""
        _until(lambda: len(self.answers) >= count or bool(self.failures))


def _until(claim: Callable[[], bool]) -> None:
    while not claim():
        time.sleep(0.01)


def _serving(server: Running) -> str:
    return str(server.client.get("/v1/models/rides").json().get("version"))


def test_kill_9_under_load_loses_no_answer_and_each_reaches_the_lake_once(city: City) -> None:
    city.release(2.0)
    folder, table = city.home.inference / "rides", f"{city.home.lake}/rides/inference_log"
    got: list[str] = []
    for _ in range(2):
        with running(city.home) as server, Load(address=server.address) as load:
            load.wait_for(500)
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
        got += [name for _, content in load.answers for name in content["ids"]]
        take_in(folder, table)

    in_segments = ids_in(folder)
    assert len(in_segments) == len(set(in_segments))
    assert set(got) <= set(in_segments)
    assert len(in_segments) - len(got) <= 2 * 16  # answered, and the client never heard
    assert sorted(pl.read_delta(table)["id"].to_list()) == sorted(in_segments)


def _swap_twice(city: City, *, answers_between: int, seconds_between: float) -> tuple[Load, list[float]]:
    """Two releases under load; what was answered, and how long each took from the ledger to the first answer."""
    city.release(2.0)
    delays = []
    with running(city.home) as server, Load(address=server.address) as load:
        for slope in (3.0, 4.0):
            load.wait_for(len(load.answers) + answers_between)
            time.sleep(seconds_between)
            number = str(city.release(slope).number)
            at = time.monotonic()
            _until(lambda number=number: _serving(server) == number)  # type: ignore[misc]
            delays.append(time.monotonic() - at)
        load.wait_for(len(load.answers) + answers_between)
        time.sleep(seconds_between)
    return load, delays


def _assert_each_answer_is_of_its_version(city: City, load: Load) -> None:
    assert load.failures == []
    for number in (1, 2, 3):
        version = city.operations.version("rides", number)
        assert version is not None
        predictor = Predictor(city.bundles.get(version.bundle_sha256))
        own = [(instance, content) for instance, content in load.answers if content["model_version"] == str(number)]
        assert own
        expected = predictor.predict(rows_of(predictor, [instance for instance, _ in own])).tolist()
        assert [content["predictions"][0] for _, content in own] == expected


def test_two_swaps_under_load_fail_no_request_and_every_version_is_right(city: City) -> None:
    load, _ = _swap_twice(city, answers_between=300, seconds_between=0)

    _assert_each_answer_is_of_its_version(city, load)


@pytest.mark.slow
def test_two_swaps_in_30_seconds_of_load_follow_the_ledger_within_2_seconds(city: City) -> None:
    load, delays = _swap_twice(city, answers_between=300, seconds_between=10)

    _assert_each_answer_is_of_its_version(city, load)
    assert min(delays) < 2.0  # what else the machine does only adds to it


def test_a_server_started_before_any_release_serves_the_first(city: City) -> None:
    with running(city.home) as server:
        before = server.client.post("/v1/models/rides:predict", json={"instances": [an_instance()]})
        city.release(2.0)
        server.wait_until(lambda answer: answer.status_code == 200, "/v1/models/rides")
        after = server.client.post("/v1/models/rides:predict", json={"instances": [an_instance()]})

    assert (before.status_code, after.status_code) == (404, 200)


def test_a_polite_end_answers_what_is_under_way(city: City) -> None:
    city.release(2.0)

    with running(city.home) as server, Load(address=server.address) as load:
        load.wait_for(100)
        load.ended = True
        server.process.terminate()
        code = server.process.wait()

    assert code in {0, -signal.SIGTERM}
    assert load.failures == []


def test_the_wrong_method_and_an_unknown_address_are_4xx_for_every_route(city: City) -> None:
    city.release(2.0)
    with running(city.home) as server:

        def status(method: str, path: str) -> int:
            return httpx.request(method, server.address + path, trust_env=False).status_code

        assert status("GET", "/v1/models/rides:predict") == 405
        assert status("GET", "/v1/models/rides:feedback") == 405
        assert status("PUT", "/v1/models/rides:feedback") == 405
        assert status("POST", "/v1/models/rides") == 405
        assert status("GET", "/nowhere") == 404


def test_whoever_reads_the_printed_address_can_connect_at_once(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    connected = []

    class Reader:
        """A standard output that is read by a client which does not wait."""

        def write(self, address: str) -> None:
            host, port = address.strip().removeprefix("http://").split(":")
            socket.create_connection((host, int(port)), timeout=5).close()
            connected.append(address)

        def flush(self) -> None:
            """Nothing is kept back."""

    monkeypatch.setattr(sys, "stdout", Reader())
    monkeypatch.setattr(uvicorn.Server, "run", lambda _server, sockets: [one.close() for one in sockets])

    _run(local.server, "127.0.0.1", 0)

    assert len(connected) == 1
