"""Web: a download survives drops, errors, a kill and a file that changes; a stuck server is one clear error."""

from __future__ import annotations

import hashlib
import io
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from perennial.errors import SourceError, SourceUnreachable
from perennial.stores.sources import Sources
from perennial.stores.sources.content import Content, take
from perennial.stores.sources.split import WholeFile, open_split
from perennial.stores.sources.web import Patience, Web
from tests.perennial.stores.sources.placing import placed
from tests.perennial.stores.sources.test_split import AT, BOOKINGS, MONTHS, PIPELINE

BODY = random.Random(1).randbytes(400_000)
OTHER = random.Random(2).randbytes(300_000)
WHERE = "taxi_eta 2023-01"


class Server(ThreadingHTTPServer):
    """A real server that misbehaves as told: one fault for each request, then well."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.etag = BODY, '"one"'
        self.faults: list[str] = []
        self.requests: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/trip-data/green.parquet"


class Handler(BaseHTTPRequestHandler):
    """Ranges with If-Range, as object stores answer."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        world = self.server
        asked = self.headers.get("range")
        world.requests.append((self.command, asked))
        fault = world.faults.pop(0) if world.faults else ""
        if fault.isdigit():
            self.send_response(int(fault))
            self.send_header("content-length", "0")
            self.end_headers()
            return
        if fault == "change":
            world.body, world.etag = OTHER, '"two"'
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        whole = start == 0 or (self.headers.get("if-range") != world.etag and fault != "mix")
        body = world.body if whole else world.body[start:]
        self.send_response(200 if whole else 206)
        if not whole:
            self.send_header("content-range", f"bytes {start}-{len(world.body) - 1}/{len(world.body)}")
        self.send_header("etag", '"two"' if fault == "mix" else world.etag)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if fault == "silent":
            self.close_connection = True
            threading.Event().wait(0.6)
            return
        if with_body:
            self.wfile.write(body[: len(body) // 3] if fault in ("drop", "change and drop") else body)
        self.close_connection = fault in ("drop", "change and drop")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


class Waits(list[float]):
    """A clock that only notes how long it was asked to wait."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def web(tmp_path: Path) -> Web:
    patience = Patience(tries=3, silence=timedelta(seconds=0.3), connect=timedelta(seconds=0.3))
    return Web(spool=tmp_path, patience=patience, wait=Waits())


def leftovers(web: Web) -> list[str]:
    return sorted(path.suffix for path in (web.spool / "downloads").iterdir() if path.suffix != ".lock")


def test_a_file_comes_whole_with_its_hash_and_signature(server: Server, web: Web) -> None:
    content = web.fetch(server.address, where=WHERE)

    assert content.opened().read() == BODY
    assert (content.size, content.sha256) == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert (content.name, content.uri) == ("green.parquet", server.address)
    assert web.signatures({"a": server.address}, where=WHERE) == {"a": content.signature}
    assert leftovers(web) == []


def test_a_download_that_breaks_goes_on_where_it_stopped(server: Server, web: Web) -> None:
    server.faults = ["drop", "503", "drop", "429"]

    content = web.fetch(server.address, where=WHERE)

    assert content.opened().read() == BODY
    first, second = len(BODY) // 3, len(BODY) // 3 + (len(BODY) - len(BODY) // 3) // 3
    starts = [asked for _, asked in server.requests]
    assert starts == [None, f"bytes={first}-", f"bytes={first}-", f"bytes={second}-", f"bytes={second}-"]


def test_waits_grow_and_tries_are_bounded(server: Server, web: Web) -> None:
    waits = Waits()
    server.faults = ["503"] * 10

    with pytest.raises(SourceError) as caught:
        replace(web, wait=waits).fetch(server.address, where=WHERE)

    assert waits == [1.0, 2.0]
    assert len(server.requests) == 3
    for word in (WHERE, "cannot be reached", "status 503", "3 times in a row", "/trip-data/green.parquet"):
        assert word in str(caught.value)


def test_a_download_that_was_killed_goes_on_in_another_process(server: Server, web: Web) -> None:
    server.faults = ["drop", "503", "503", "503"]
    with pytest.raises(SourceUnreachable, match="what has come is kept"):
        web.fetch(server.address, where=WHERE)
    assert leftovers(web) == [".json", ".part"]
    server.requests.clear()

    content = Web(spool=web.spool, wait=Waits()).fetch(server.address, where=WHERE)

    assert server.requests == [("GET", f"bytes={len(BODY) // 3}-")]
    assert content.opened().read() == BODY


@pytest.mark.parametrize("faults", [["drop", "change"], ["drop", "mix"], ["drop", "change", "drop"]])
def test_a_file_that_changes_between_two_parts_is_never_mixed(server: Server, web: Web, faults: list[str]) -> None:
    server.faults = faults

    content = web.fetch(server.address, where=WHERE)

    assert content.opened().read() == server.body
    assert content.sha256 == hashlib.sha256(server.body).hexdigest()


def test_a_part_of_a_server_without_validators_is_not_continued(server: Server, web: Web) -> None:
    server.etag, server.faults = "", ["drop"]

    assert web.fetch(server.address, where=WHERE).opened().read() == BODY
    assert [asked for _, asked in server.requests] == [None, None]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("404", ["green.parquet cannot be had", "status 404", "until the source has delivered"]),
        ("401", ["status 401"]),
    ],
)
def test_a_refusal_is_told_at_once(server: Server, web: Web, fault: str, words: list[str]) -> None:
    server.faults = [fault]

    with pytest.raises(SourceUnreachable) as caught:
        web.fetch(server.address, where=WHERE)

    assert len(server.requests) == 1
    for word in words:
        assert word in str(caught.value)


def test_a_server_that_falls_silent_is_one_clear_error(server: Server, web: Web) -> None:
    server.faults = ["silent"] * 3

    with pytest.raises(SourceUnreachable, match=r"cannot be reached, found ReadTimeout.* 3 times in a row"):
        web.fetch(server.address, where=WHERE)


def test_a_server_that_is_not_there_is_one_clear_error(web: Web) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://me:secret@127.0.0.1:{free.getsockname()[1]}/a?sig=secret"

        for ask in (web.fetch, lambda one, where: web.signatures({"a": one}, where=where)):
            with pytest.raises(SourceUnreachable, match=r"cannot be reached, found ConnectError") as caught:
                ask(address, where=WHERE)
            assert "secret" not in str(caught.value)


def test_only_what_is_there_has_a_signature_and_it_changes_with_the_file(server: Server, web: Web) -> None:
    look = lambda: web.signatures({"a": server.address}, where=WHERE)  # noqa: E731
    before = look()
    server.etag = '"three"'

    assert look() != before
    server.faults = ["404"]
    assert look() == {}
    server.faults = ["405"]
    assert look() == {"a": f'"three"|{len(BODY)}'}
    server.faults = ["503"]
    assert look() == {"a": f'"three"|{len(BODY)}'}


def test_a_server_without_validators_is_asked_for_the_content_which_then_is_the_signature(
    server: Server, web: Web
) -> None:
    server.etag = ""
    look = lambda: web.signatures({"a": server.address}, where=WHERE)  # noqa: E731
    before = look()

    assert before == {"a": web.fetch(server.address, where=WHERE).signature} == {"a": hashlib.sha256(BODY).hexdigest()}
    server.body = BODY[:-1] + b"x"  # as long as before
    assert look() != before
    server.faults = ["405", "404"]
    assert look() == {}


def test_an_export_without_validators_that_changes_is_cut_again(server: Server, tmp_path: Path) -> None:
    server.etag, server.body = "", BOOKINGS.encode()
    pipeline = placed(PIPELINE, pattern=server.address)
    sources = Sources(home=tmp_path, environment={})
    before = sources.signatures(pipeline, MONTHS)
    assert sources.read(pipeline, "2016-02", fetched_at=AT).frame["adr"].to_list() == ["75.5", "80"]

    server.body = BOOKINGS.replace("75.5", "76.5").encode()

    after = sources.signatures(pipeline, MONTHS)
    assert sources.read(pipeline, "2016-02", fetched_at=AT).frame["adr"].to_list() == ["76.5", "80"]
    assert (after["2016-01"] == before["2016-01"], after["2016-02"] == before["2016-02"]) == (True, False)


def test_without_a_word_of_the_source_no_cut_is_taken_for_that_of_the_file(tmp_path: Path) -> None:
    whole = WholeFile(source=PIPELINE.source, location="x", spool=tmp_path)  # type: ignore[arg-type]
    texts = [BOOKINGS, BOOKINGS + "NULL,1,2016-02-09,0\n"]

    cuts = [
        open_split(PIPELINE, whole, "", lambda text=text: _content(text, tmp_path), where="x")  # type: ignore[misc]
        for text in texts
    ]

    assert [cut.rows("2016-02").height for cut in cuts] == [2, 3]


def _content(text: str, spool: Path) -> Content:
    return take(io.BytesIO(text.encode()), spool=spool, name="bookings.csv")
