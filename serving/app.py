"""App: the HTTP side of the model server, for all pipelines in one process.

`predict` is answered before FastAPI sees it; the rest is ordinary routes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from perennial.errors import PerennialError
from perennial.stores.operations import Outcome
from serving.answers import Receive, Scope, Send, WrongMethod, encode, failure_of, read_body
from serving.batching import Batcher, LogUnwritable
from serving.documentation import describe, page
from serving.events import EventIntake
from serving.feedback import read_outcomes
from serving.metrics import UNKNOWN, Metrics
from serving.models import Models, Served, Unready
from serving.prediction import PredictRoute, is_predict

TITLE = "Perennial model server"
DESCRIPTION = "KServe v1 protocol: predictions by the champion of each pipeline, and feedback by prediction id."


class FeedbackStore(Protocol):
    """Where outcomes are kept; `Operations` is one."""

    def add_feedback(self, pipeline: str, outcomes: list[Outcome], *, at: datetime) -> int: ...

    def secret(self) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the routes work with."""

    models: Models
    batcher: Batcher
    metrics: Metrics
    now: Callable[[], datetime]
    events: EventIntake | None = None
    """None while a single bundle is served."""
    feedback: FeedbackStore | None = None
    """None while a single bundle is served, without a database."""
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None


class Server:
    """The ASGI application."""

    def __init__(self, parts: Parts) -> None:
        self._predict = PredictRoute(parts.models, parts.batcher, parts.metrics)
        self._others = build_routes(parts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's event."""
        await (self._predict if is_predict(scope) else self._others)(scope, receive, send)


def build_routes(parts: Parts) -> FastAPI:
    """Every route but predict."""
    app = FastAPI(title=TITLE, description=DESCRIPTION, docs_url=None, redoc_url=None, lifespan=parts.lifespan)
    app.openapi = lambda: describe(_own_openapi(app), parts.models.served.values())  # type: ignore[method-assign]
    _add_errors(app, parts)
    _add_health(app, parts)
    _add_models(app, parts)
    _add_feedback(app, parts)
    _add_sources(app, parts)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()))

    return app


def _own_openapi(app: FastAPI) -> dict[str, Any]:
    return get_openapi(title=TITLE, version="1", description=DESCRIPTION, routes=app.routes)


def _add_errors(app: FastAPI, parts: Parts) -> None:
    async def fail(request: Request, error: Exception) -> Response:
        failure = failure_of(error)
        pipeline = request.path_params.get("pipeline", UNKNOWN)
        parts.metrics.failed(pipeline if pipeline in parts.models.served else UNKNOWN, failure.status, failure.kind)
        return _json(failure.content, failure.status, {"allow": "POST"} if failure.status == 405 else None)

    async def refuse(_: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        return _json({"error": error.detail}, error.status_code, error.headers)

    app.add_exception_handler(PerennialError, fail)
    app.add_exception_handler(LogUnwritable, fail)
    app.add_exception_handler(HTTPException, refuse)


def _add_health(app: FastAPI, parts: Parts) -> None:
    @app.get("/healthz", summary="Whether the process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/readyz", summary="Whether every routed pipeline can be answered", responses={503: {"description": "Not yet"}}
    )
    async def readyz() -> Response:
        models = parts.models
        served, failures = models.served, models.failures
        ready = models.known and set(failures) <= set(served)
        detail = {
            "ready": ready,
            "models": {name: str(one.version) for name, one in sorted(served.items())},
            "failures": {name: failure.reason for name, failure in sorted(failures.items())},
            "operations": models.trouble or "ok",
        }
        return _json(detail, 200 if ready else 503)

    @app.get("/metrics", summary="Counters for Prometheus")
    async def metrics() -> Response:
        return Response(parts.metrics.exposition(), media_type="text/plain; version=0.0.4")


def _add_models(app: FastAPI, parts: Parts) -> None:
    @app.get("/v1/models", summary="The pipelines that are served")
    async def models() -> dict[str, list[str]]:
        return {"models": sorted(parts.models.served)}

    @app.get("/v1/models/{pipeline}", summary="The version that serves, and what its requests hold")
    async def model(pipeline: str) -> Response:
        if pipeline.endswith(":feedback"):  # of two routes that match, this one also knows GET
            raise WrongMethod("this address takes another method", where="request", found="GET", expected="POST")
        return _json(_described(parts.models.find(pipeline)))


def _add_feedback(app: FastAPI, parts: Parts) -> None:
    @app.post("/v1/models/{pipeline}:feedback", include_in_schema=False)
    async def feedback(pipeline: str, request: Request) -> Response:
        body = await read_body(request.receive)
        return _json(await run_in_threadpool(_keep_feedback, parts, pipeline, body))


def _keep_feedback(parts: Parts, pipeline: str, body: bytes) -> dict[str, int]:
    if parts.feedback is None:
        raise Unready("feedback is not kept while a single bundle is served", where=pipeline)
    try:
        outcomes = read_outcomes(body, pipeline, parts.feedback.secret(), classes=_classifies(parts, pipeline))
        new = parts.feedback.add_feedback(pipeline, outcomes, at=parts.now())
    except SQLAlchemyError as error:
        raise Unready("the operations database does not answer", where=pipeline, found=str(error)[:200]) from error
    if outcomes:
        parts.metrics.feedback.labels(pipeline).inc(len(outcomes))
    return {"received": len(outcomes), "new": new}


def _classifies(parts: Parts, pipeline: str) -> bool:
    """Whether what serves predicts a class; where nothing serves, any number is taken."""
    served = parts.models.served.get(pipeline)
    objective = served.bundle.manifest.get("objective", {}) if served else {}
    return bool(objective.get("task") == "binary classification")


def _add_sources(app: FastAPI, parts: Parts) -> None:
    @app.get("/v1/sources", summary="The pipelines that take pushed events")
    async def sources() -> dict[str, list[str]]:
        return {"sources": parts.events.names() if parts.events else []}

    @app.get("/v1/sources/{pipeline}", summary="What an event of this pipeline holds")
    async def source(pipeline: str) -> Response:
        return _json(asdict(_intake(parts, pipeline).find(pipeline)))

    @app.post("/v1/sources/{pipeline}/events", include_in_schema=False)
    async def events(pipeline: str, request: Request) -> Response:
        body, key = await read_body(request.receive), request.headers.get("idempotency-key")
        answer = await run_in_threadpool(_intake(parts, pipeline).take, pipeline, body, key)
        parts.metrics.events.labels(pipeline).inc(answer["received"])
        return _json(answer, 202)


def _intake(parts: Parts, pipeline: str) -> EventIntake:
    if parts.events is None:
        raise Unready("events are not taken while a single bundle is served", where=pipeline[:100])
    return parts.events


def _described(served: Served) -> dict[str, Any]:
    schema = served.predictor.reader.schema
    return {
        "name": served.pipeline,
        "version": str(served.version),
        "ready": True,
        "bundle": served.bundle.sha256,
        "as_of": served.bundle.as_of,
        "schema": schema,
    }


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(encode(content), status, headers, media_type="application/json")
