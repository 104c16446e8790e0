"""Documentation: the OpenAPI of the server with the request schema of each served pipeline, and a page of it.

The page is made here and loads nothing from elsewhere: FastAPI's own pages fetch scripts from a CDN.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from typing import Any

from perennial.bundle.bundle import RequestColumn
from perennial.schema import Kind
from serving.models import Served

_TYPES: dict[Kind, dict[str, Any]] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "float32": {"type": "number", "format": "float"},
    "float64": {"type": "number", "format": "double"},
    "datetime": {"type": "string", "format": "date-time"},
}
_EXAMPLES: dict[Kind, Any] = {
    "string": "text", "bool": True, "int32": 1, "int64": 1, "float32": 1.5, "float64": 1.5,
    "datetime": "2024-02-29T13:05:00",
}  # fmt: skip
_FAILURE = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "What, where, found, expected."},
        "index": {"type": "integer", "description": "Which instance or outcome, from 0."},
        "field": {"type": "string"},
        "found": {"type": "string"},
        "expected": {"type": "string"},
    },
}
_ANSWER = {
    "type": "object",
    "required": ["predictions", "ids", "model_version"],
    "properties": {
        "predictions": {"type": "array", "items": {"type": "number"}},
        "ids": {"type": "array", "items": {"type": "string"}, "description": "For feedback, one a prediction."},
        "model_version": {"type": "string", "description": "The version that computed them."},
        "defaulted": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": {"type": "string", "enum": ["absent", "future", "stale", "unavailable"]},
            },
            "description": "By instance: the looked-up features that hold their default, and why. Only when one does.",
        },
    },
}
_EVENT = {"type": "object"}
_ACCEPTED = {
    "type": "object",
    "required": ["received", "partitions", "repeated"],
    "properties": {
        "received": {"type": "integer"},
        "partitions": {"type": "array", "items": {"type": "string"}, "description": "In which they will land."},
        "repeated": {"type": "boolean", "description": "Whether this very request was accepted before."},
    },
}
_COUNTS = {"type": "object", "properties": {"received": {"type": "integer"}, "new": {"type": "integer"}}}
_OUTCOMES = {
    "type": "object",
    "required": ["outcomes"],
    "properties": {
        "outcomes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "label"],
                "properties": {
                    "id": {"type": "string"},
                    "label": {"type": "number"},
                    "source": {"type": "string", "default": "client", "description": "Who or what says so."},
                    "confidence": {"type": "number", "minimum": 0, "maximum": 1, "default": 1},
                },
                "additionalProperties": False,
            },
        }
    },
}


def describe(base: dict[str, Any], served: Iterable[Served]) -> dict[str, Any]:
    """`base`, FastAPI's OpenAPI, with the raw routes, those of each served pipeline by name."""
    paths = dict(base.get("paths", {}))
    for one in sorted(served, key=lambda one: one.pipeline):
        paths[f"/v1/models/{one.pipeline}:predict"] = {"post": _predict(one)}
    paths["/v1/models/{pipeline}:predict"] = {"post": _predict(None)}
    paths["/v1/models/{pipeline}:feedback"] = {"post": _feedback()}
    paths["/v1/sources/{pipeline}/events"] = {"post": _events()}
    return base | {"paths": paths}


def page(api: dict[str, Any]) -> str:
    """The OpenAPI as one HTML page that stands alone."""
    parts = [
        _section(method, path, operation)
        for path, operations in api["paths"].items()
        for method, operation in operations.items()
    ]
    title = escape(api["info"]["title"])
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}}
pre{{background:#f4f4f4;padding:.8em;overflow:auto}}summary{{cursor:pointer}}code{{font-size:14px}}
details{{border-bottom:1px solid #ddd;padding:.5em 0}}</style>
<h1>{title}</h1><p>{escape(api["info"].get("description", ""))} <a href="/openapi.json">openapi.json</a></p>
{"".join(parts)}</html>"""


def _predict(served: Served | None) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "object"}
    example: dict[str, Any] = {}
    if served is not None:
        schema = served.predictor.reader.schema
        fields = (*schema.columns, *schema.optional, *(lookup.field for lookup in schema.lookups))
        item = {
            "type": "object",
            "required": [column.name for column in schema.columns],
            "properties": {column.name: _field(column) for column in fields},
            "additionalProperties": False,
        }
        example = {column.name: _EXAMPLES[column.kind] for column in schema.columns}
    body = {
        "type": "object",
        "required": ["instances"],
        "properties": {"instances": {"type": "array", "items": item}},
        "additionalProperties": False,
    }
    return _operation(
        f"Predict with {served.pipeline}" if served else "Predict with a pipeline's champion",
        body, _ANSWER, {"instances": [example]}, named=served is not None,
        failures={400: "Broken JSON", 404: "No version of it serves", 413: "Too large", 422: "A field does not fit"},
    )  # fmt: skip


def _feedback() -> dict[str, Any]:
    return _operation(
        "Report what happened, by prediction id",
        _OUTCOMES, _COUNTS, {"outcomes": [{"id": "an id from predict", "label": 12.5}]}, named=False,
        failures={400: "Broken JSON", 404: "An id that was never issued", 422: "A field does not fit"},
    )  # fmt: skip


def _events() -> dict[str, Any]:
    body = {"type": "object", "required": ["events"], "properties": {"events": {"type": "array", "items": _EVENT}}}
    operation = _operation(
        "Push events of a pipeline's source; fields: GET /v1/sources/{pipeline}",
        body, _ACCEPTED, {"events": [{"a declared field": "its value"}]}, named=False,
        failures={
            400: "Broken JSON", 404: "It takes no events", 413: "Too large", 422: "A field does not fit",
            503: "Not kept: send them again",
        },
    )  # fmt: skip
    operation["responses"]["202"] = operation["responses"].pop("200")
    key = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}
    return operation | {"parameters": [*operation["parameters"], key]}


def _operation(
    summary: str, body: Any, answer: Any, example: Any, *, named: bool, failures: dict[int, str]
) -> dict[str, Any]:
    def json_of(schema: Any) -> dict[str, Any]:
        return {"application/json": {"schema": schema}}

    pipeline = {"name": "pipeline", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "summary": summary,
        "parameters": [] if named else [pipeline],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": example}}},
        "responses": {"200": {"description": "The answer", "content": json_of(answer)}}
        | {str(status): {"description": why, "content": json_of(_FAILURE)} for status, why in failures.items()},
    }


def _field(column: RequestColumn) -> dict[str, Any]:
    described: dict[str, Any] = dict(_TYPES[column.kind])
    if column.nullable:
        described["type"] = [described["type"], "null"]
    text = " ".join(part for part in (column.meaning, f"({column.unit})" if column.unit else "") if part)
    return described | ({"description": text} if text else {})


def _section(method: str, path: str, operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    request = ""
    if content:
        command = f"curl -X {method.upper()} -d '{json.dumps(content.get('example', {}))}' http://HOST{path}"
        request = f"<pre>{escape(command)}</pre><pre>{escape(json.dumps(content['schema'], indent=1))}</pre>"
    answers = "".join(
        f"<li>{escape(status)} {escape(answer.get('description', ''))}</li>"
        for status, answer in operation.get("responses", {}).items()
    )
    heading = f"<code>{method.upper()} {escape(path)}</code> {escape(operation.get('summary', ''))}"
    return f"<details><summary>{heading}</summary>{request}<ul>{answers}</ul></details>"
