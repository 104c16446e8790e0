"""Labels: what happened, and since when one could know it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from perennial.errors import PerennialError
from perennial.objective import BinaryClassification
from perennial.policies import Maturity

if TYPE_CHECKING:
    from perennial.declaration import Pipeline


@dataclass(frozen=True, slots=True)
class Label:
    """The outcome to predict: an expression over the landed columns, known at a declared time."""

    name: str
    value: pl.Expr = field(kw_only=True)
    known_at: str = field(kw_only=True)
    """Column with the wall-clock time at which the outcome could be known."""
    unit: str | None = field(default=None, kw_only=True)
    delay: timedelta = field(default=timedelta(0), kw_only=True)
    """How long after `known_at` the outcome reaches us."""
    mature_after: timedelta | Maturity | None = field(default=None, kw_only=True)
    """When a partition's outcomes are complete enough to learn from: so long after its end, or by how many are known.

    None: an outcome is known with its row. Training windows end with the newest mature partition.
    """


def label_rows(accepted: pl.DataFrame, pipeline: Pipeline) -> pl.DataFrame:
    """The label of each accepted row that has one: key, partition, event time, `known_at`, `label`.

    A row whose outcome is null has no label yet and is left out, never guessed. Raises PerennialError
    when a classification's label is neither 0 nor 1.
    """
    labelled = accepted.select(
        *pipeline.key,
        "partition",
        "event_time",
        label_known_at(pipeline).alias("known_at"),
        pipeline.label.value.cast(pl.Float64).alias("label"),
    )
    if isinstance(pipeline.objective, BinaryClassification):
        _check_classes(labelled, pipeline, positive=pipeline.objective.positive)
    return labelled.filter(pl.col("label").is_finite() & pl.col("known_at").is_not_null())


def columns_read(pipeline: Pipeline) -> list[str]:
    """The columns of accepted rows that labels are made from."""
    label = pipeline.label
    return list(
        dict.fromkeys([*pipeline.key, "partition", "event_time", label.known_at, *label.value.meta.root_names()])
    )


def _check_classes(labelled: pl.DataFrame, pipeline: Pipeline, *, positive: str) -> None:
    wrong = labelled.filter(~pl.col("label").is_in([0.0, 1.0]))
    if wrong.height:
        first = wrong.row(0, named=True)
        row = ", ".join(f"{name}={first[name]!r}" for name in pipeline.key)
        raise PerennialError(
            f"label {pipeline.label.name!r} is no class",
            where=f"{pipeline.name} {first['partition']}",
            found=f"{first['label']:g} at {row}, and in {wrong.height} of {labelled.height} rows in all",
            expected=f"1 ({positive}), 0, or null while nobody knows",
            hint="compare or cast in the label's expression, such as col('status') == 'Canceled'",
        )


def label_known_at(pipeline: Pipeline) -> pl.Expr:
    """When a row's outcome can be known, as an instant; null while nobody knows."""
    return pipeline.time.utc(pipeline.label.known_at) + pipeline.label.delay
