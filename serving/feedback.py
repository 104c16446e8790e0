"""Feedback: `POST /v1/models/{pipeline}:feedback`, outcomes by prediction id, all of a request or none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from perennial.prediction.prediction_id import verify
from perennial.prediction.request import FieldError, list_in
from perennial.stores.operations import Outcome


def read_outcomes(body: bytes, pipeline: str, secret: bytes, *, classes: bool = False) -> list[Outcome]:
    """The outcomes of the JSON text `{"outcomes": [{"id": ..., "label": ...}]}`.

    Raises BodyError for another shape, FieldError for a label that is no finite number or, of a
    classification (`classes`), neither 0 nor 1, UnknownPrediction for an id that was not issued for
    `pipeline`.
    """
    outcomes = list_in(body, "outcomes")
    fields = [_fields(index, outcome) for index, outcome in enumerate(outcomes)]
    for index, (_, label) in enumerate(fields):
        if classes and label not in {0.0, 1.0}:
            raise _error("field 'label' does not fit", index, "label", label, "0 or 1")
    return [
        Outcome(prediction_id=name, partition=verify(pipeline, name, secret), label=label) for name, label in fields
    ]


def _fields(index: int, outcome: Any) -> tuple[str, float]:
    if not isinstance(outcome, Mapping):
        raise _error("the outcome is not an object", index, None, outcome, "an object with id and label")
    for name in ("id", "label"):
        if name not in outcome:
            raise _error(f"field {name!r} is missing", index, name, sorted(outcome), "the fields id and label")
    for name in outcome:
        if name not in {"id", "label"}:
            raise _error(f"field {name!r} is not known", index, name, outcome[name], "only id and label")
    if not isinstance(outcome["id"], str):
        raise _error("field 'id' does not fit", index, "id", outcome["id"], "the text that predict answered")
    label = outcome["label"]
    try:
        number = float(label) if type(label) in {int, float} else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _error("field 'label' does not fit", index, "label", label, "a finite number")
    return outcome["id"], number


def _error(what: str, index: int, field: str | None, found: object, expected: str) -> FieldError:
    return FieldError(what, index=index, field=field, found=repr(found)[:60], expected=expected, of="outcomes")
