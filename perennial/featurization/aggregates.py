"""Aggregates: rolling numbers of an entity, such as the mean minutes from a zone over the last 28 days.

At the end T of each partition, `Rolling(by, of, how, days)` looks at the accepted rows of the whole local
days in [T - days, T) that are known by then; a row whose outcome it reads is known only with its label.
The number becomes known at T + known_after, and a row or request sees the newest one known at its time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import polars as pl

from perennial.errors import DeclarationError, FeatureError
from perennial.featurization.expressions import check_row_wise
from perennial.schema import Column, Kind, Schema

if TYPE_CHECKING:
    from perennial.labels.labelling import Label

How = Literal["mean", "sum", "count", "min", "max", "std", "share"]
ENTITY_KINDS: tuple[Kind, ...] = ("string", "int32", "int64")
"""Kinds of column that can name an entity: a float has no exact value, and a time is no thing."""
LABEL = "label"
"""What `of` says to aggregate the pipeline's label."""
ROWS = "rows"
"""The value that `count` without an `of` counts."""
TABLE_COLUMNS = ("by", "day", "defaulted", "event_time", "known_at", "partition", "revision", ROWS, "until")
"""Names that the tables of aggregates use themselves, so that no entity column may have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """One number of each entity over the last whole days; also a feature of the model, by its name."""

    by: str | tuple[str, ...]
    """The column or columns that name the entity; a request carries them."""
    of: str | pl.Expr | None = None
    """What is aggregated: a column, an expression over one row, or "label"; None only counts rows."""
    how: How
    days: int
    """Whole days of the local calendar."""
    default: float | None = None
    """The value of an entity without rows in the window; None leaves it null, for the model to impute."""
    name: str | None = None
    """By default from the other fields, such as `pickup_zone_mean_minutes_28d`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A declared Rolling, checked and named."""

    name: str
    by: tuple[str, ...]
    how: How
    days: int
    default: float | None
    value: str
    """Name of what is aggregated; the sums of it are shared by every aggregate of the same entity."""
    expression: pl.Expr | None
    late: bool
    """Whether its rows are known only with their label."""

    @property
    def group(self) -> str:
        """What the column `by` of the tables holds for its entity, such as `pickup_zone+dropoff_zone`."""
        return "+".join(self.by)

    @property
    def column(self) -> Column:
        """It as a column of a prediction request, which may leave it out."""
        what = "rows" if self.expression is None else self.value
        return Column(
            "float32",
            nullable=True,
            meaning=f"{self.how} of {what} by {', '.join(self.by)} over {self.days} days, looked up when left out",
        )


def groups_of(aggregates: Sequence[Aggregate]) -> dict[str, tuple[Aggregate, ...]]:
    """The aggregates of each entity, in order of declaration, by the name that the tables give it."""
    names = dict.fromkeys(aggregate.group for aggregate in aggregates)
    return {name: tuple(a for a in aggregates if a.group == name) for name in names}


def entity_columns(aggregates: Sequence[Aggregate]) -> tuple[str, ...]:
    """Every column that names an entity, in order of first use."""
    return tuple(dict.fromkeys(name for aggregate in aggregates for name in aggregate.by))


def declare_aggregates(
    rolling: Sequence[Rolling], schema: Schema, label: Label, *, where: str
) -> tuple[Aggregate, ...]:
    """The checked aggregates of a pipeline. Raises DeclarationError naming the aggregate and the field."""
    found: dict[str, Aggregate] = {}
    values: dict[str, pl.Expr | None] = {}
    for position, each in enumerate(rolling):
        place = f"{where}: aggregates[{each.name or position}]"
        aggregate = _declare(each, schema, label, where=place)
        if aggregate.name in found or aggregate.name in schema.columns:
            raise _refusal("name", aggregate.name, "a name that no column or other aggregate has", where=place)
        same = values.setdefault(aggregate.value, aggregate.expression)
        if not _equal(same, aggregate.expression):
            raise _refusal(
                "of", aggregate.value, "one meaning for each name; give the expression an alias", where=place
            )
        found[aggregate.name] = aggregate
    return tuple(found.values())


def _declare(rolling: Rolling, schema: Schema, label: Label, *, where: str) -> Aggregate:
    by = (rolling.by,) if isinstance(rolling.by, str) else tuple(rolling.by)
    _check_entity(by, schema.columns, where=where)
    if rolling.how not in get_args(How):
        raise _refusal("how", rolling.how, ", ".join(get_args(How)), where=where)
    if type(rolling.days) is not int or rolling.days < 1:
        raise _refusal("days", rolling.days, "a whole number of days, at least 1", where=where)
    if rolling.default is not None and not math.isfinite(rolling.default):
        raise _refusal("default", rolling.default, "a finite number, or None", where=where)
    if rolling.of is None and rolling.how != "count":
        raise _refusal("of", None, f"a column, an expression or 'label' to take the {rolling.how} of", where=where)
    value, expression = _value(rolling, schema, label, where=where)
    parts = ["_".join(by), rolling.how, *([value] if expression is not None else []), f"{rolling.days}d"]
    return Aggregate(
        name=rolling.name or "_".join(parts),
        by=by,
        how=rolling.how,
        days=rolling.days,
        default=rolling.default,
        value=value,
        expression=expression,
        late=rolling.of is not None and (_is_label(rolling.of) or _reads_outcome(expression, schema)),
    )


def _check_entity(by: tuple[str, ...], columns: Mapping[str, Column], *, where: str) -> None:
    if not by or len(set(by)) != len(by):
        raise _refusal("by", by, "at least one column, each named once", where=where)
    for name in by:
        if name not in columns:
            raise _refusal("by", name, f"a declared column ({', '.join(columns)})", where=where)
        if not columns[name].usable_in_features:
            raise _refusal("by", name, "a column known when the prediction is made", where=where)
        if columns[name].kind not in ENTITY_KINDS:
            kinds = ", ".join(ENTITY_KINDS)
            raise _refusal("by", f"{name} of kind {columns[name].kind}", f"a column of kind {kinds}", where=where)
        if name in TABLE_COLUMNS:
            raise _refusal("by", name, f"a name other than {', '.join(TABLE_COLUMNS)}", where=where)


def _value(rolling: Rolling, schema: Schema, label: Label, *, where: str) -> tuple[str, pl.Expr | None]:
    """Name and expression of what is aggregated."""
    if rolling.of is None:
        return ROWS, None
    if isinstance(rolling.of, str):
        expression = label.trusted_value if rolling.of == LABEL else pl.col(rolling.of)
        name = label.name if rolling.of == LABEL else rolling.of
    else:
        expression, name = rolling.of, _output_name(rolling.of, where=where)
    try:
        check_row_wise(expression.meta.serialize(format="json"), where=where)
        dtype = pl.LazyFrame(schema=schema.polars).select(expression).collect_schema().dtypes()[0]
    except FeatureError as error:
        raise DeclarationError(
            f"field 'of': {error.what}", where=where, found=error.found, expected=error.expected
        ) from error
    except pl.exceptions.PolarsError as error:
        raise _refusal(
            "of", str(error).splitlines()[0], f"declared columns {', '.join(schema.columns)}", where=where
        ) from error
    fits = dtype == pl.Boolean or (rolling.how == "count") or (rolling.how != "share" and dtype.is_numeric())
    if not fits and not (_is_label(rolling.of) and dtype.is_numeric()):
        expected = "true or false" if rolling.how == "share" else "a number"
        raise _refusal("of", f"{name} of type {dtype}", expected, where=where)
    return name, expression


def _output_name(expression: pl.Expr, *, where: str) -> str:
    try:
        return expression.meta.output_name()
    except pl.exceptions.PolarsError as error:
        raise _refusal("of", str(expression), "an expression with one name: .alias('name')", where=where) from error


def _is_label(of: str | pl.Expr | None) -> bool:
    return isinstance(of, str) and of == LABEL


def _reads_outcome(expression: pl.Expr | None, schema: Schema) -> bool:
    roots = expression.meta.root_names() if expression is not None else []
    return any(schema.columns[name].known == "with_label" for name in roots)


def _equal(one: pl.Expr | None, other: pl.Expr | None) -> bool:
    return one is other or (one is not None and other is not None and one.meta.eq(other))


def _refusal(field: str, value: object, expected: str, *, where: str) -> DeclarationError:
    return DeclarationError(f"field {field!r} does not fit", where=where, found=repr(value), expected=expected)
