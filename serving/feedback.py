"""Feedback: `POST /v1/models/{pipeline}:feedback`, outcomes by prediction id, all of a request or none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from perennial.prediction.prediction_id import verify
from perennial.prediction.request import FieldError, list_in
from perennial.stores.operations import Outcome

NEEDED, OPTIONAL = ("id", "label"), ("source", "confidence")
LONGEST = 100
"""Characters of a source."""


def read_outcomes(body: bytes, pipeline: str, secret: bytes, *, classes: bool = False) -> list[Outcome]:
    """The outcomes of the JSON text `{"outcomes": [{"id": ..., "label": ..., "source": ..., "confidence": ...}]}`.

    Raises BodyError for another shape, FieldError for a label that is no finite number or, of a
    classification (`classes`), neither 0 nor 1, for a source that is no text or a confidence that is not
    from 0 to 1, UnknownPrediction for an id that was not issued for `pipeline`.
    """
    outcomes = list_in(body, "outcomes")
    read = [_read(index, outcome) for index, outcome in enumerate(outcomes)]
    for index, said in enumerate(read):
        if classes and said["label"] not in {0.0, 1.0}:
            raise _error("field 'label' does not fit", index, "label", said["label"], "0 or 1")
    return [Outcome(partition=verify(pipeline, said["prediction_id"], secret), **said) for said in read]


def _read(index: int, outcome: Any) -> dict[str, Any]:
    """What one outcome says, by the fields of Outcome."""
    _check_shape(index, outcome)
    said = {"prediction_id": outcome["id"], "label": _number(index, "label", outcome["label"], "a finite number")}
    if "confidence" in outcome:
        said["confidence"] = _confidence(index, outcome["confidence"])
    if "source" in outcome:
        said["source"] = _source(index, outcome["source"])
    return said


def _check_shape(index: int, outcome: Any) -> None:
    if not isinstance(outcome, Mapping):
        raise _error("the outcome is not an object", index, None, outcome, "an object with id and label")
    for name in NEEDED:
        if name not in outcome:
            raise _error(f"field {name!r} is missing", index, name, sorted(outcome), "the fields id and label")
    for name in outcome:
        if name not in {*NEEDED, *OPTIONAL}:
            expected = "only id, label, source and confidence"
            raise _error(f"field {name!r} is not known", index, name, outcome[name], expected)
    if not isinstance(outcome["id"], str):
        raise _error("field 'id' does not fit", index, "id", outcome["id"], "the text that predict answered")


def _number(index: int, name: str, value: Any, expected: str) -> float:
    try:
        number = float(value) if type(value) in {int, float} else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _error(f"field {name!r} does not fit", index, name, value, expected)
    return number


def _confidence(index: int, value: Any) -> float:
    expected = "a number from 0 to 1"
    number = _number(index, "confidence", value, expected)
    if not 0 <= number <= 1:
        raise _error("field 'confidence' does not fit", index, "confidence", value, expected)
    return number


def _source(index: int, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or not value.isprintable():
        expected = f"a printable text of 1 to {LONGEST} characters"
        raise _error("field 'source' does not fit", index, "source", value, expected)
    return value


def _error(what: str, index: int, field: str | None, found: object, expected: str) -> FieldError:
    return FieldError(what, index=index, field=field, found=repr(found)[:60], expected=expected, of="outcomes")
