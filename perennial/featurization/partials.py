"""Partials: what a partition's rows add to every window they may lie in, summed once for each entity and day.

Any window's aggregate is put together from them, so that 28 days over a year read each row once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from perennial.errors import FeatureError
from perennial.featurization.aggregates import Aggregate, entity_columns, groups_of
from perennial.featurization.exact import LARGEST, limb_names, limbs_of
from perennial.labels.labelling import label_known_at

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

WHEN = ("day", "known_at")


OUTCOME_KNOWN, KNOWN_IN_TIME = "outcome known at", "outcome known in time"
"""Working columns; a value may be named `late`, never like a sentence."""


def partial_rows(accepted: pl.DataFrame, pipeline: Pipeline) -> pl.DataFrame:
    """The partials of `accepted` rows: partition, `by`, the entity, `day`, `known_at`, and sums of each value.

    `day` is the local day of the event; `known_at` that of the row, or of its label where that is later
    and a value reads the outcome: such a value's sums stand in a row of that time. Ordered by the entity
    and these, so that equal rows make equal partials. Raises FeatureError for a number too large to add.
    """
    aggregates = pipeline.checked_aggregates
    if accepted.is_empty():
        return partial_schema(pipeline).to_frame()
    # No window is looked at before its partition's end, so that what was known earlier stands together.
    ends = {key: pipeline.time.known_at(key) for key in accepted.get_column("partition").unique()}
    end = pl.col("partition").replace_strict(ends, return_dtype=pl.Datetime("us", "UTC"))
    on_time = pl.max_horizontal("known_at", end)
    rows = accepted.select(
        pl.col("partition").cast(pl.Enum(sorted(ends))),  # grouped and sorted as numbers
        *entity_columns(aggregates),
        pipeline.time.local("event_time").dt.date().alias("day"),
        on_time.alias("known_at"),
        label_known_at(pipeline).alias(OUTCOME_KNOWN),
        *_values(aggregates),
    ).with_columns((pl.col(OUTCOME_KNOWN) <= pl.col("known_at")).fill_null(value=False).alias(KNOWN_IN_TIME))
    largest = _largest(rows, aggregates, where=pipeline.name)
    parts = [_grouped(rows, group, members, largest) for group, members in groups_of(aggregates).items()]
    return _complete(pl.concat(parts, how="diagonal_relaxed"), pipeline)


def add_partials(parts: Iterable[pl.DataFrame], pipeline: Pipeline) -> pl.DataFrame:
    """The partials of all rows, from those of each of their `parts`; sums are integers, so that parts say nothing."""
    total: pl.DataFrame | None = None
    for part in parts:
        total = part if total is None else _added(pl.concat([total, part]), pipeline)
    return partial_schema(pipeline).to_frame() if total is None else total


def columns_read(pipeline: Pipeline) -> list[str]:
    """The columns of accepted rows that partials are made from."""
    aggregates = pipeline.checked_aggregates
    read = [name for a in aggregates if a.expression is not None for name in a.expression.meta.root_names()]
    times = ("partition", "event_time", "known_at", pipeline.label.known_at)
    return list(dict.fromkeys([*times, *entity_columns(aggregates), *read]))


def partial_schema(pipeline: Pipeline) -> pl.Schema:
    """The columns of the partials table."""
    aggregates = pipeline.checked_aggregates
    types: dict[str, pl.DataType] = {"partition": pl.String(), "by": pl.String()}
    types |= {name: pipeline.schema.polars[name] for name in entity_columns(aggregates)}
    types |= {"day": pl.Date(), "known_at": pl.Datetime("us", "UTC")}
    types |= {name: pl.Int64() for name in sum_columns(aggregates)}
    types |= {name: pl.Float64() for name in end_columns(aggregates)}
    return pl.Schema(types)


def sum_columns(aggregates: Sequence[Aggregate]) -> list[str]:
    """The integer columns that windows add up."""
    found: list[str] = []
    for value, hows in _uses(aggregates).items():
        found.append(f"{value}_count")
        if hows & {"mean", "sum", "share", "std"}:
            found += limb_names(f"{value}_sum")
        if "std" in hows:
            found += limb_names(f"{value}_square")
    return found


def end_columns(aggregates: Sequence[Aggregate]) -> list[str]:
    """The columns that hold a smallest or largest value."""
    return [f"{value}_{end}" for value, hows in _uses(aggregates).items() for end in ("min", "max") if end in hows]


def _uses(aggregates: Iterable[Aggregate]) -> dict[str, set[str]]:
    """By value: how it is aggregated."""
    uses: dict[str, set[str]] = {}
    for aggregate in aggregates:
        uses.setdefault(aggregate.value, set()).add(aggregate.how)
    return uses


def _values(aggregates: Sequence[Aggregate]) -> list[pl.Expr]:
    """One column a value; what is no finite number is null and counts nothing."""
    found: dict[str, pl.Expr] = {}
    for aggregate in aggregates:
        hows = {other.how for other in aggregates if other.value == aggregate.value}
        if aggregate.expression is None:
            value = pl.lit(1.0)
        elif hows == {"count"}:
            value = pl.when(aggregate.expression.is_not_null()).then(1.0)
        else:
            number = aggregate.expression.cast(pl.Float64)
            value = pl.when(number.is_finite()).then(number)
        found.setdefault(aggregate.value, value.alias(f"_{aggregate.value}"))
    return list(found.values())


def _largest(rows: pl.DataFrame, aggregates: Sequence[Aggregate], *, where: str) -> dict[str, float]:
    """By value: its largest magnitude. Raises FeatureError for one too large to add up exactly."""
    found: dict[str, float] = {}
    for value, hows in _uses(aggregates).items():
        limit = LARGEST**0.5 if "std" in hows else LARGEST
        magnitude = rows.get_column(f"_{value}").abs().max()
        found[value] = magnitude if isinstance(magnitude, float) else 0.0
        if found[value] >= limit:
            raise FeatureError(
                f"aggregate of {value!r} meets a number too large to add up exactly",
                where=where,
                found=f"{found[value]:.4g}",
                expected=f"numbers below {limit:.3g}",
                hint="an expectation on the column quarantines such a row",
            )
    return found


def _grouped(
    rows: pl.DataFrame, group: str, members: Sequence[Aggregate], largest: Mapping[str, float]
) -> pl.DataFrame:
    """The partials of one entity: what is known on time, and what is known only with a later label."""
    by = members[0].by
    known = rows.filter(pl.all_horizontal(pl.col(name).is_not_null() for name in by))
    keys = ["partition", *by, *WHEN]
    late = {f"_{member.value}" for member in members if member.late}
    early = {f"_{member.value}" for member in members if not member.late}
    masked = known.with_columns(pl.when(KNOWN_IN_TIME).then(pl.col(name)).alias(name) for name in sorted(late))
    parts = [_summed(masked, keys, members, largest)]
    behind = known.filter(~pl.col(KNOWN_IN_TIME) & pl.col(OUTCOME_KNOWN).is_not_null()) if late else known.clear()
    if behind.height:
        behind = behind.with_columns(
            pl.col(OUTCOME_KNOWN).alias("known_at"), *(pl.lit(None, pl.Float64).alias(name) for name in sorted(early))
        )
        parts.append(_summed(behind, keys, members, largest))
    found = pl.concat(parts)
    if len(parts) == 2 and found.select(keys).is_duplicated().any():
        return _merged(found, group, members)
    return found.sort(keys).with_columns(by=pl.lit(group))


def _added(partials: pl.DataFrame, pipeline: Pipeline) -> pl.DataFrame:
    """`partials` with one row where several are of one entity, day and time."""
    groups = groups_of(pipeline.checked_aggregates).items()
    parts = [_merged(partials.filter(pl.col("by") == group), group, members) for group, members in groups]
    return _complete(pl.concat(parts, how="diagonal_relaxed"), pipeline)


def _merged(found: pl.DataFrame, group: str, members: Sequence[Aggregate]) -> pl.DataFrame:
    """The rows of one entity, those of one day and time added up."""
    keys = ["partition", *members[0].by, *WHEN]
    ends = [end_of(name, name) for name in end_columns(members)]
    sums = [pl.col(name).sum() for name in sum_columns(members)]
    return found.group_by(keys).agg(*sums, *ends).sort(keys).with_columns(by=pl.lit(group))


def _summed(
    rows: pl.DataFrame, keys: Sequence[str], members: Sequence[Aggregate], largest: Mapping[str, float]
) -> pl.DataFrame:
    columns: list[pl.Expr] = []
    for value, hows in _uses(members).items():
        number = pl.col(f"_{value}")
        if hows & {"mean", "sum", "share", "std"}:
            columns += limbs_of(number, f"{value}_sum", largest=largest[value])
        if "std" in hows:
            columns += limbs_of(number * number, f"{value}_square", largest=largest[value] ** 2)
    counts = [pl.col(f"_{value}").count().cast(pl.Int64).alias(f"{value}_count") for value in _uses(members)]
    sums = [pl.col(column.meta.output_name()).sum() for column in columns]
    ends = [end_of(f"_{name[:-4]}", name).alias(name) for name in end_columns(members)]
    summed = rows.with_columns(columns).group_by(keys).agg(*counts, *sums, *ends)
    return summed.filter(pl.any_horizontal(pl.col(f"{value}_count") > 0 for value in _uses(members)))


def end_of(column: str, name: str) -> pl.Expr:
    """The smallest or the largest of `column`, as `name` says."""
    return pl.col(column).min() if name.endswith("_min") else pl.col(column).max()


def _complete(partials: pl.DataFrame, pipeline: Pipeline) -> pl.DataFrame:
    """Every column of the table: a sum of nothing is 0, an entity column of another entity null."""
    schema = partial_schema(pipeline)
    sums = sum_columns(pipeline.checked_aggregates)
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in partials.columns]
    return partials.with_columns(absent).select(
        pl.col(name).fill_null(0) if name in sums else pl.col(name).cast(dtype) for name, dtype in schema.items()
    )
