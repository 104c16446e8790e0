"""Events: an accepted request is on disk before its answer, all of it or none; each event lands exactly once."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from perennial.settings import Home
from perennial.stores.production.pushed import PushedEvents, publish
from tests.pushes import an_event, pushed_pipeline
from tests.serving.conftest import NOW, City, Local, running

PIPELINE = pushed_pipeline()
HOURS = [f"2024-01-01T{hour:02d}" for hour in range(20)]
PATH = "/v1/sources/rides/events"


@pytest.fixture
def rides(local: Local) -> Local:
    """A server that was told what `rides` takes."""
    publish(local.city.home.pushed, PIPELINE)
    return local


def push(local: Local, *events: Any, key: str | None = None) -> httpx.Response:
    headers = {"idempotency-key": key} if key else {}
    return local.request("POST", PATH, json={"events": list(events)}, headers=headers)


def landed(home: Home) -> list[str]:
    """The rides that the graph would land, of all hours."""
    source = PushedEvents(home.pushed)
    found = source.signatures(PIPELINE, HOURS)
    return sorted(ride for hour in found for ride in source.read(PIPELINE, hour, fetched_at=NOW).frame["rideId"])


def lines(home: Home) -> list[str]:
    return [line for path in home.pushed.rglob("*.jsonl") for line in path.read_text().splitlines()]


def test_an_accepted_request_says_where_its_events_will_land_and_is_on_disk(rides: Local) -> None:
    answer = push(rides, an_event(0), an_event(100), an_event(101))

    assert answer.status_code == 202
    assert answer.json() == {"received": 3, "partitions": ["2024-01-01T00", "2024-01-01T01"], "repeated": False}
    assert landed(rides.city.home) == ["ride-0", "ride-100", "ride-101"]
    assert b'perennial_events_total{pipeline="rides"} 3.0' in rides.request("GET", "/metrics").content


def test_a_wrong_event_refuses_its_whole_request_with_index_field_found_and_expected(rides: Local) -> None:
    answer = push(rides, an_event(0), an_event(1, riders=1.5))

    assert answer.status_code == 422
    assert answer.json() == {
        "error": "events[1]: field 'riders' does not fit, found 1.5, expected an integer of 32 bits or null.",
        "index": 1,
        "field": "riders",
        "found": "1.5",
        "expected": "an integer of 32 bits or null",
    }
    assert lines(rides.city.home) == []


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"[]", 400, "the body has another shape"),
        (b'{"events": ', 400, "the body is not JSON"),
        (b'{"instances": []}', 400, 'expected {"events": [{...}]}'),
        (b'{"events": [7]}', 422, "events[0]: it is not an object"),
        (b'{"events": [' + b",".join([json.dumps(an_event(0)).encode()] * 10_001) + b"]}", 413, "too many events"),
        (b'{"events": "' + b"x" * (16 * 2**20) + b'"}', 413, "the body is too large"),
    ],
    ids=["list", "cut", "shape", "number", "many", "large"],
)
def test_a_wrong_body_is_named(rides: Local, body: bytes, status: int, message: str) -> None:
    answer = rides.request("POST", PATH, content=body)

    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text
    assert lines(rides.city.home) == []


@pytest.mark.parametrize("name", ["nope", "..", "%2e%2e", "Rides", "r"])
def test_a_pipeline_without_a_pushed_source_is_not_found(rides: Local, name: str) -> None:
    answer = rides.request("POST", f"/v1/sources/{name}/events", json={"events": []})

    assert answer.status_code == 404


def test_an_unknown_source_names_the_known(rides: Local) -> None:
    answer = rides.request("POST", "/v1/sources/nope/events", json={"events": []})

    assert "nope: no pushed source is known, expected one of rides" in answer.json()["error"]


def test_what_a_source_takes_is_told(rides: Local) -> None:
    assert rides.request("GET", "/v1/sources").json() == {"sources": ["rides"]}
    told = rides.request("GET", "/v1/sources/rides").json()
    assert told["schema"]["key"] == ["rideId"]
    assert rides.request("GET", PATH).status_code == 405
    assert PATH.replace("rides", "{pipeline}") in rides.request("GET", "/openapi.json").json()["paths"]


def test_the_same_request_sent_again_counts_once(rides: Local) -> None:
    first = push(rides, an_event(0), key="a")
    again = push(rides, an_event(0), key="a")

    assert (first.status_code, again.status_code) == (202, 202)
    assert (first.json()["repeated"], again.json()["repeated"]) == (False, True)
    assert len(lines(rides.city.home)) == 1


def test_a_key_of_another_request_is_refused_and_one_that_is_no_key_too(rides: Local) -> None:
    push(rides, an_event(0), key="a")

    other, wrong = push(rides, an_event(1), key="a"), push(rides, an_event(1), key="x" * 201)

    assert (other.status_code, wrong.status_code) == (422, 422)
    assert "belongs to another request" in other.json()["error"]
    assert len(lines(rides.city.home)) == 1


def test_events_that_cannot_be_kept_are_not_accepted_and_may_be_sent_again(rides: Local) -> None:
    hour = rides.city.home.pushed / "rides" / "2024-01-01T00"
    hour.write_text("no folder")

    refused = push(rides, an_event(0), key="a")
    hour.unlink()
    accepted = push(rides, an_event(0), key="a")

    assert refused.status_code == 503
    assert "send them again" in refused.json()["error"]
    assert (accepted.status_code, accepted.json()["repeated"]) == (202, False)
    assert landed(rides.city.home) == ["ride-0"]


def test_a_changed_declaration_is_followed_without_a_restart(rides: Local) -> None:
    earlier = pushed_pipeline(time=type(PIPELINE.time)(start="2023-12-31T00", event_time="began"))
    event = an_event(0, startedAt="2023-12-31T10:00:00")
    assert push(rides, event).status_code == 422

    publish(rides.city.home.pushed, earlier)

    assert push(rides, event).status_code == 202


def test_an_event_far_ahead_of_the_clock_would_never_land(rides: Local) -> None:
    soon, late = NOW + timedelta(hours=20), NOW + timedelta(hours=30)

    assert push(rides, an_event(0, startedAt=soon.isoformat())).status_code == 202
    assert "lies in the future" in push(rides, an_event(0, startedAt=late.isoformat())).json()["error"]


@dataclass(kw_only=True)
class Clients:
    """Clients that push all of their events in small requests, and keep what was not answered for next time."""

    waiting: list[tuple[str, list[dict[str, Any]]]]
    acknowledged: list[str] = field(default_factory=list)
    answered: threading.Event = field(default_factory=threading.Event)
    enough: int = 0

    def push(self, address: str) -> None:
        """Send requests until none waits or the server is gone."""
        with httpx.Client(base_url=address, trust_env=False, timeout=10) as client:
            while self.waiting:
                request = self.waiting.pop()
                try:
                    answer = client.post(PATH, json={"events": request[1]}, headers={"idempotency-key": request[0]})
                except httpx.TransportError:
                    self.waiting.append(request)
                    return
                assert answer.status_code == 202, answer.text
                self.acknowledged += [event["rideId"] for event in request[1]]
                if len(self.acknowledged) >= self.enough:
                    self.answered.set()


@pytest.fixture
def clients() -> Clients:
    numbers = list(range(2_000))
    random.Random(7).shuffle(numbers)
    requests = [numbers[start : start + 8] for start in range(0, len(numbers), 8)]
    return Clients(waiting=[(f"request-{n}", [an_event(i) for i in each]) for n, each in enumerate(requests)])


def test_every_acknowledged_event_lands_exactly_once_after_kill_9_under_load(city: City, clients: Clients) -> None:
    publish(city.home.pushed, PIPELINE)
    chance = random.Random(3)
    for _ in range(3):
        clients.enough = len(clients.acknowledged) + chance.randint(50, 500)
        clients.answered.clear()
        with running(city.home) as server:
            threads = [threading.Thread(target=clients.push, args=(server.address,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            assert clients.answered.wait(60)
            os.kill(server.process.pid, signal.SIGKILL)
            for thread in threads:
                thread.join()
        found = landed(city.home)
        assert set(clients.acknowledged) <= set(found)
        assert len(found) == len(set(found))
        assert clients.waiting, "the server was killed while clients were sending"
    with running(city.home) as server:
        clients.push(server.address)

    assert landed(city.home) == sorted(f"ride-{number}" for number in range(2_000))
    assert len(clients.acknowledged) == 2_000


def test_a_key_outlives_the_server(city: City, tmp_path: Path) -> None:
    publish(city.home.pushed, PIPELINE)
    for riders in (1, 2):
        with running(city.home) as server:
            first = {"events": [an_event(0, riders=1)]}
            server.client.post(PATH, json=first, headers={"idempotency-key": "a"})
            if riders == 1:
                server.client.post(PATH, json={"events": [an_event(0, riders=2)]})

    read = PushedEvents(city.home.pushed).read(PIPELINE, HOURS[0], fetched_at=NOW)

    assert read.frame["riders"].to_list() == [2], "the first request, sent again after a restart, undoes nothing"
