"""Featurization: row features as Polars expressions, the same object in training, batch and online.

A feature looks at one row and nothing else. That is proved on the stored form of the expression, by
an allow-list of its nodes: an aggregate, a window, a Python function or a physical categorical code
is refused when the pipeline loads, and again before a stored feature is read back.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from perennial.errors import FeatureError

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

FeatureKind = Literal["number", "category"]

ALLOWED_NODES = frozenset({"Alias", "BinaryExpr", "Cast", "Column", "Function", "Literal", "Ternary"})
ALLOWED_FUNCTIONS = frozenset(
    """Abs Log Log1p Exp Pow Sqrt Cbrt Round RoundSF Floor Ceil Sign Clip Negate Not IsNull IsNotNull IsNan
    IsNotNan IsFinite IsInfinite FillNull Coalesce IsIn IsBetween Atan2 MinHorizontal MaxHorizontal
    SumHorizontal MeanHorizontal""".split()
)
ALLOWED_FAMILIES: dict[str, frozenset[str] | None] = {
    "Boolean": frozenset(
        "IsNull IsNotNull IsNan IsNotNan IsFinite IsInfinite IsIn IsBetween Not AllHorizontal AnyHorizontal".split()
    ),
    "TemporalExpr": frozenset(
        """Year IsoYear Quarter Month Week WeekDay Day OrdinalDay Hour Minute Second Date Time TotalDays
        TotalHours TotalMinutes TotalSeconds TotalMilliseconds TotalMicroseconds DaysInMonth IsLeapYear
        MonthStart MonthEnd Truncate Round Duration DatetimeFunction""".split()
    ),
    "StringExpr": frozenset(
        """Lowercase Uppercase LenBytes LenChars StripChars StripCharsStart StripCharsEnd StripPrefix
        StripSuffix StartsWith EndsWith Contains Slice Head Tail ConcatHorizontal Replace ZFill PadStart
        PadEnd Strptime""".split()
    ),
    "Trigonometry": None,
    "Pow": None,
}
"""Functions of a row alone; None allows the whole family."""
REFUSED_TYPES = ("Categorical", "Enum", "Object")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature: its name, what kind of value it is, and its expression in stored form."""

    name: str
    kind: FeatureKind
    stored: str
    """The expression as Polars' JSON; it belongs to the Polars version that the bundle records."""

    @property
    def expression(self) -> pl.Expr:
        """The expression, read back after the allow-list has been checked again."""
        check_row_wise(self.stored, where=f"feature {self.name!r}")
        return pl.Expr.deserialize(io.BytesIO(self.stored.encode()), format="json")


def declare_features(expressions: Sequence[pl.Expr], schema: pl.Schema, *, where: str) -> tuple[Feature, ...]:
    """The checked features of a pipeline whose rows have `schema`.

    Raises FeatureError for an expression that is not row-wise, has no name of its own, shares its
    name with another, does not fit the schema, or yields neither a number nor a text.
    """
    features: list[Feature] = []
    rows = pl.LazyFrame(schema=schema)
    for expression in expressions:
        name = _name(expression, where=where)
        if any(feature.name == name for feature in features):
            raise FeatureError("two features share one name", where=where, found=repr(name), expected="unique names")
        stored = expression.meta.serialize(format="json")
        check_row_wise(stored, where=f"{where}: feature {name!r}")
        features.append(Feature(name=name, stored=stored, kind=_kind(expression, name, rows, where=where)))
    return tuple(features)


def featurize(frame: pl.DataFrame, features: Iterable[Feature]) -> pl.DataFrame:
    """The features of each row of `frame`: numbers as Float32, categories as String, nulls kept."""
    return select_features(frame, selection(features))


def select_features(frame: pl.DataFrame, expressions: Sequence[pl.Expr]) -> pl.DataFrame:
    """`frame.select(expressions)`, a row alone answered as it is among others.

    Polars 2.1 divides many rows by a constant through its reciprocal and one row directly, which differs
    in the last digit: `(n / 49).floor()` of 49 would be 0 in training and 1 online.
    """
    if frame.height != 1:
        return frame.select(expressions)
    return frame.vstack(_blank_row(tuple(frame.schema.items()))).select(expressions).head(1)


@lru_cache(maxsize=64)
def _blank_row(schema: tuple[tuple[str, pl.DataType], ...]) -> pl.DataFrame:
    """One row of nulls: company for a row alone."""
    return pl.DataFrame(schema=dict(schema)).clear(1)


def featurize_rows(accepted: pl.DataFrame, pipeline: Pipeline) -> pl.DataFrame:
    """The rows of the features table: key, partition, both times, and one column a feature.

    Of a pipeline with aggregates, `accepted` is joined with them, and `defaulted` names those at their default.
    """
    marks = ["defaulted"] if pipeline.aggregates else []
    kept = [pl.col(name) for name in (*pipeline.key, "partition", "event_time", "known_at", *marks)]
    return select_features(accepted, [*kept, *selection(pipeline.checked_features)])


def selection(features: Iterable[Feature]) -> list[pl.Expr]:
    """The features as expressions to select: numbers cast to Float32, categories to String."""
    return [
        feature.expression.cast(pl.Float32 if feature.kind == "number" else pl.String).alias(feature.name)
        for feature in features
    ]


def columns_of(features: Iterable[Feature]) -> list[str]:
    """The raw columns that `features` read, in the order of first use."""
    return list(dict.fromkeys(name for f in features for name in f.expression.meta.root_names()))


def check_row_wise(stored: str, *, where: str) -> None:
    """Raise FeatureError unless every node of the `stored` expression is on the allow-list."""
    for problem in _problems(json.loads(stored)):
        raise FeatureError(
            f"{problem} is not allowed",
            where=where,
            expected="operations that look at one row only",
            hint="a fitted preparation belongs to the model; an aggregate over rows belongs to the feature store",
        )


def _name(expression: pl.Expr, *, where: str) -> str:
    try:
        return expression.meta.output_name()
    except pl.exceptions.PolarsError as error:
        raise FeatureError(
            "a feature needs one name", where=where, found=str(expression), expected="col(...).alias('name')"
        ) from error


def _kind(expression: pl.Expr, name: str, rows: pl.LazyFrame, *, where: str) -> FeatureKind:
    try:
        dtype = rows.select(expression).collect_schema().dtypes()[0]
    except pl.exceptions.PolarsError as error:
        raise FeatureError(
            f"feature {name!r} does not fit the schema",
            where=where,
            found=str(error).splitlines()[0],
            expected=f"declared columns {', '.join(rows.collect_schema())}",
        ) from error
    if dtype.is_numeric() or dtype == pl.Boolean:
        return "number"
    if dtype == pl.String:
        return "category"
    raise FeatureError(
        f"feature {name!r} is neither a number nor a text", where=where, found=str(dtype), expected="a number or a text"
    )


def _problems(node: Any) -> Iterator[str]:
    """What a serialized expression holds that the allow-list does not."""
    if not (isinstance(node, dict) and len(node) == 1):
        yield f"expression {_short(node)}"
        return
    ((kind, body),) = node.items()
    if kind not in ALLOWED_NODES:
        yield {"Agg": "an aggregate", "AnonymousFunction": "a Python function", "Over": "a window"}.get(
            kind, f"expression {kind}"
        )
    elif kind == "Alias":
        yield from _problems(body[0])
    elif kind == "Literal":
        if not (isinstance(body, dict) and set(body) <= {"Dyn", "Scalar"}) and not isinstance(body, str):
            yield f"literal {_short(body)}"
    elif kind == "Cast":
        if any(name in json.dumps(body["dtype"]) for name in REFUSED_TYPES):
            yield f"a cast to {_short(body['dtype'])} (physical codes differ between runs)"
        yield from _problems(body["expr"])
    elif kind == "Function":
        yield from _function_problems(body["function"])
        for child in body["input"]:
            yield from _problems(child)
    elif kind != "Column":
        for part in ("left", "right", "predicate", "truthy", "falsy"):
            if part in body:
                yield from _problems(body[part])


def _function_problems(function: Any) -> Iterator[str]:
    name = function if isinstance(function, str) else next(iter(function))
    if name in ALLOWED_FUNCTIONS:
        return
    if name not in ALLOWED_FAMILIES:
        yield f"function {name}"
        return
    allowed = ALLOWED_FAMILIES[name]
    member = function[name]
    if isinstance(member, dict) and not member.get("Strptime", [None, {"format": "declared"}])[1].get("format"):
        yield "a time of no declared format (Polars would guess it from the first rows)"
    member = member if isinstance(member, str) else next(iter(member))
    if allowed is not None and member not in allowed:
        yield f"function {name}.{member}"


def _short(node: Any) -> str:
    text = json.dumps(node)
    return text if len(text) <= 60 else text[:57] + "..."
