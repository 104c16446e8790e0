"""Answers: what the server sends back, as JSON; each failure names what, where, found and expected."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import msgspec

from perennial.errors import PerennialError, RequestError, UnknownModel, UnknownPrediction, UnknownSource
from perennial.prediction.request import BodyError, FieldError
from serving.batching import LogUnwritable
from serving.models import Unready

log = logging.getLogger("serving")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LARGEST_BODY = 16 * 2**20
"""Bytes of the largest request that is read."""
MOST_INSTANCES = 10_000
_JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An HTTP status, the kind that /metrics counts, and the body."""

    status: int
    kind: str
    content: dict[str, Any]


class TooLarge(RequestError):
    """The request holds more than the server takes at once."""


class WrongMethod(RequestError):
    """The address exists, and takes another method."""


_STATUS: list[tuple[type[Exception], int, str]] = [
    (BodyError, 400, "json"),
    (TooLarge, 413, "size"),
    (WrongMethod, 405, "method"),
    (FieldError, 422, "field"),
    (RequestError, 422, "values"),
    (UnknownModel, 404, "model"),
    (UnknownPrediction, 404, "prediction"),
    (UnknownSource, 404, "source"),
    (Unready, 503, "unready"),
    (LogUnwritable, 503, "log"),
]


def failure_of(error: Exception) -> Failure:
    """What a caller is told of `error`; anything unforeseen is a 500, with the trace in the server's log."""
    for kind, status, name in _STATUS:
        if isinstance(error, kind):
            return Failure(status=status, kind=name, content=_described(error))
    log.error("a request failed", exc_info=error)
    return Failure(status=500, kind="internal", content={"error": "the server failed; its log says why"})


def encode(content: Any) -> bytes:
    """`content` as JSON."""
    return msgspec.json.encode(content)


async def send_json(send: Send, status: int, content: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Send one whole answer."""
    length = (b"content-length", b"%d" % len(content))
    await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]})
    await send({"type": "http.response.body", "body": content})


async def read_body(receive: Receive) -> bytes:
    """The whole body; raises TooLarge beyond LARGEST_BODY, after it was read and thrown away."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        size += len(message.get("body", b""))
        if size <= LARGEST_BODY:
            parts.append(message.get("body", b""))
    if size > LARGEST_BODY:
        raise TooLarge("the body is too large", where="request", found=f"{size} bytes", expected=f"{LARGEST_BODY}")
    return b"".join(parts)


def _described(error: Exception) -> dict[str, Any]:
    content: dict[str, Any] = {"error": str(error)}
    if isinstance(error, FieldError):
        content |= {"index": error.index, "field": error.field}
    if isinstance(error, PerennialError):
        content |= {"found": error.found, "expected": error.expected}
    return {name: _sayable(value) for name, value in content.items() if value is not None}


def _sayable(value: Any) -> Any:
    """Text without the half surrogates that a caller can smuggle in and JSON cannot say."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
