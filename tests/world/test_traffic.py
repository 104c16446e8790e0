from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from perennial.errors import PerennialError
from world.city import City
from world.traffic import day_traffic, deliver_labels, send

DAY = date(2024, 3, 8)


@dataclass
class Server:
    """A server of the predict protocol, apart from ours: it answers the distance, and remembers."""

    url: str = ""
    status: int = 200
    short: bool = False
    paths: set[str] = field(default_factory=set)
    sizes: list[int] = field(default_factory=list)
    callers: set[Any] = field(default_factory=set)
    """Addresses that asked for predictions, one a connection."""
    labels: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str, body: Any, caller: Any) -> Any:
        with self.lock:
            self.paths.add(path)
            if path.endswith(":feedback"):
                self.labels |= {outcome["id"]: outcome["label"] for outcome in body["outcomes"]}
                return {"accepted": len(body["outcomes"])}
            self.callers.add(caller)
            instances = body["instances"]
            self.sizes.append(len(instances))
            ids = [f"id-{instance['order_id']}" for instance in instances]
            return {
                "predictions": [instance["distance_km"] for instance in instances],
                "ids": ids[1:] if self.short else ids,
                "model_version": "3",
            }


class Listening(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a refused client hangs up on what else it asked."""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            refusal = {"error": "field 'zone' is missing"}
            answer = state.answer(self.path, body, self.client_address) if state.status == 200 else refusal
            content = json.dumps(answer).encode()
            self.send_response(state.status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    with Listening(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{listening.server_port}"
        yield state
        listening.shutdown()
        thread.join()


def test_a_request_carries_what_is_known_at_the_order_and_the_outcome_stays_behind() -> None:
    orders, traffic = City().orders(DAY), day_traffic(City(), DAY)

    first = json.loads(json.dumps(traffic[0].instance, allow_nan=False))

    assert len(traffic) == orders.height
    assert set(first) == set(orders.columns) - {"delivered_at"}
    assert datetime.fromisoformat(first["ordered_at"]) == orders["ordered_at"][0]
    assert datetime.fromisoformat(first["ordered_at"]).tzinfo is None
    assert all(20 <= order.label <= 90 and order.known_at.tzinfo == UTC for order in traffic)


def test_labels_are_known_in_utc() -> None:
    order = day_traffic(City(), DAY)[0]
    arrived = City().orders(DAY)["delivered_at"][0]

    assert (arrived - order.known_at.replace(tzinfo=None)).total_seconds() == 3600  # Berlin in winter


@pytest.mark.parametrize(("batch", "connections"), [(1, 8), (50, 3), (1000, 4)])
def test_every_order_meets_its_own_answer_and_label(server: Server, batch: int, connections: int) -> None:
    traffic = day_traffic(City(), DAY)

    answered = send(server.url, traffic, connections, batch=batch)
    delivered = deliver_labels(server.url + "/", answered)

    assert [one.order for one in answered] == traffic
    assert all(one.prediction == one.order.instance["distance_km"] and one.version == "3" for one in answered)
    assert sum(server.sizes) == delivered == len(traffic)
    assert max(server.sizes) <= batch
    assert len(server.callers) <= connections
    assert server.labels == {f"id-{order.instance['order_id']}": order.label for order in traffic}
    assert server.paths == {"/v1/models/delivery_eta:predict", "/v1/models/delivery_eta:feedback"}


def test_nothing_to_send_is_no_request(server: Server) -> None:
    assert send(server.url, []) == []
    assert deliver_labels(server.url, []) == 0
    assert server.paths == set()


def test_a_refusal_is_an_error_with_the_servers_words(server: Server) -> None:
    server.status = 422

    with pytest.raises(PerennialError, match=r"status 422: .*field 'zone' is missing"):
        send(server.url, day_traffic(City(), DAY)[:3])


def test_an_answer_that_is_not_whole_is_an_error(server: Server) -> None:
    server.short = True

    with pytest.raises(PerennialError, match="found 4 ids and 5 predictions, expected 5 of each"):
        send(server.url, day_traffic(City(), DAY)[:5], batch=5)


def test_an_absent_server_is_an_error_that_says_how_to_start_one() -> None:
    with pytest.raises(PerennialError, match=r"does not answer.*perennial serve"):
        send("http://127.0.0.1:9", day_traffic(City(), DAY)[:1])
