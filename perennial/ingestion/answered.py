"""Answered: the rows of an inference log, and what a pipeline that reads them must declare.

Beside the columns of `TOLD` a row holds the fields of its request under their own names; one that has a name of
`TOLD` is `request.{name}`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import polars as pl

from perennial.compliance import barred_columns
from perennial.errors import DeclarationError
from perennial.schema import Column, source_columns
from perennial.sources import InferenceLog

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

ASKED_AT = "asked_at"
INSTANT = pl.Datetime("us", "UTC")
TOLD: Mapping[str, pl.DataType] = {
    "prediction_id": pl.String(),
    ASKED_AT: INSTANT,
    "predicted": pl.Float64(),
    "model_version": pl.Int64(),
    "outcome": pl.Float64(),
    "outcome_at": INSTANT,
    "outcome_source": pl.String(),
    "outcome_confidence": pl.Float64(),
}
"""What each row tells beside its request. The outcome is the newest feedback on its id, null while there is none."""
PERSONAL = "Column(..., pii=True): it is personal data where it was asked for"


def named(field: str) -> str:
    """The name in a row of a field of the request."""
    return f"request.{field}" if field in TOLD else field


def not_personal(columns: Mapping[str, Column], personal: Collection[str]) -> Iterator[str]:
    """The declared columns that read `personal` fields of a request, and are not declared so."""
    found = {named(field) for field in personal}
    yield from (name for name, c in columns.items() if not c.pii and found & set(source_columns(name, c)))


def check_log(pipeline: Pipeline, declared: Mapping[str, Pipeline]) -> None:
    """Raise DeclarationError unless the inference log that `pipeline` reads is that of one `declared`, and fits it."""
    source: object = pipeline.source
    if not isinstance(source, InferenceLog):
        return
    if source.of not in declared:
        expected = f"a pipeline that loads ({', '.join(sorted(declared))})"
        raise _misfit(pipeline, "source", repr(source.of), expected)
    logged = declared[source.of]
    _check_names(pipeline, logged)
    columns, fields = pipeline.schema.columns, _fields(logged)
    personal = [field for field in fields if field in logged.schema.columns and logged.schema.columns[field].pii]
    for name in not_personal(columns, personal):
        raise _misfit(pipeline, f"schema[{name}]", "no personal data", PERSONAL)
    ours, theirs = barred_columns(pipeline), {named(field) for field in barred_columns(logged)}
    for name, column in columns.items():
        for read in sorted(theirs & set(source_columns(name, column))):
            if name not in ours:
                expected = f"a column that is barred here too, as it is in {logged.name} (rules)"
                raise _misfit(pipeline, f"schema[{name}]", read, expected)


def _check_names(pipeline: Pipeline, logged: Pipeline) -> None:
    """Every column that is read of the log is in it."""
    there = [*TOLD, *map(named, _fields(logged))]
    joined = {f"{each.name}.{name}" for each in pipeline.beside for name in each.columns}
    for name, column in pipeline.schema.columns.items():
        for read in source_columns(name, column):
            if read not in there and read not in joined:
                expected = f"a column of the log of {logged.name} ({', '.join(there)})"
                raise _misfit(pipeline, f"schema[{name}].source", repr(read), expected)


def _fields(logged: Pipeline) -> list[str]:
    """What a request may carry: the fields that it must, and the key by which labels are met."""
    return list(dict.fromkeys([*logged.request_columns, *logged.key]))


def _misfit(pipeline: Pipeline, field: str, found: str, expected: str) -> DeclarationError:
    return DeclarationError(
        f"field {field!r} does not fit", where=f"pipeline {pipeline.name!r}", found=found, expected=expected
    )
