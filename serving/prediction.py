"""Prediction: `POST /v1/models/{pipeline}:predict`, straight on ASGI, since each request pays for every layer."""

from __future__ import annotations

import time
from typing import Any

from serving.answers import (
    MOST_INSTANCES,
    Receive,
    Scope,
    Send,
    TooLarge,
    WrongMethod,
    encode,
    failure_of,
    read_body,
    send_json,
)
from serving.batching import Batcher
from serving.metrics import UNKNOWN, Metrics
from serving.models import Models

PREFIX, SUFFIX = "/v1/models/", ":predict"


def is_predict(scope: Scope) -> bool:
    """Whether a request is for this route."""
    if scope["type"] != "http":
        return False
    path: str = scope["path"]
    return path.endswith(SUFFIX) and path.startswith(PREFIX) and "/" not in path[len(PREFIX) :]


class PredictRoute:
    """The ASGI application behind that one route."""

    def __init__(self, models: Models, batcher: Batcher, metrics: Metrics) -> None:
        self._models = models
        self._batcher = batcher
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        received = time.perf_counter()
        in_flight = self._metrics.in_flight
        in_flight.count += 1
        pipeline = scope["path"][len(PREFIX) : -len(SUFFIX)]
        try:
            content = await self._predict(pipeline, scope["method"], receive, received)
        except Exception as error:  # noqa: BLE001 - every failure has an answer
            failure = failure_of(error)
            known = pipeline if pipeline in self._models.served else UNKNOWN
            self._metrics.failed(known, failure.status, failure.kind)
            headers = [(b"allow", b"POST")] if failure.status == 405 else []
            await send_json(send, failure.status, encode(failure.content), *headers)
        else:
            await send_json(send, 200, content)
        finally:
            in_flight.count -= 1

    async def _predict(self, pipeline: str, method: str, receive: Receive, received: float) -> bytes:
        if method != "POST":
            raise WrongMethod("this address takes another method", where="request", found=method, expected="POST")
        body = await read_body(receive)
        served = self._models.find(pipeline)
        rows = served.predictor.reader.decode(body)
        if len(rows) > MOST_INSTANCES:
            raise TooLarge("too many instances", where="request", found=str(len(rows)), expected=f"{MOST_INSTANCES}")
        answer = await self._batcher.submit(served, rows, received)
        version = str(served.version)
        self._metrics.answered(pipeline, version, len(rows), time.perf_counter() - received)
        content: dict[str, Any] = {"predictions": answer.predictions, "ids": answer.ids, "model_version": version}
        return encode(content if answer.defaulted is None else content | {"defaulted": answer.defaulted})
