"""Labels: what happened, who says so and how surely, and since when one could know it."""

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
    source: str | pl.Expr = field(default="rows", kw_only=True)
    """Who or what says so: one name for all, such as "meter", or an expression over the row, such as who decided."""
    confidence: float | pl.Expr = field(default=1.0, kw_only=True)
    """How sure the source is, from 0 to 1: one number for all, or an expression over the row."""
    min_confidence: float = field(default=0.0, kw_only=True)
    """A label of less confidence is kept, and nobody learns from it or is judged by it."""

    @property
    def expressions(self) -> dict[str, pl.Expr]:
        """The declared expressions over the row, by the field that has them."""
        fields = {"value": self.value, "source": self.source, "confidence": self.confidence}
        return {name: each for name, each in fields.items() if isinstance(each, pl.Expr)}

    @property
    def trusted_value(self) -> pl.Expr:
        """The outcome of a row where it is sure enough to learn from, else null."""
        if self.min_confidence <= 0:
            return self.value
        return pl.when(_confidence(self) >= self.min_confidence).then(self.value)


def label_rows(accepted: pl.DataFrame, pipeline: Pipeline) -> pl.DataFrame:
    """The label of each accepted row that has one: key, partition, both times, `label`, `source`, `confidence`.

    A row whose outcome is null has no label yet and is left out, never guessed. Raises PerennialError when
    a classification's label is neither 0 nor 1, and when one has no source, or no confidence from 0 to 1.
    """
    source = pipeline.label.source
    rows = accepted.select(
        *pipeline.key,
        "partition",
        "event_time",
        _row_label_known_at(pipeline).alias("known_at"),
        pipeline.label.value.cast(pl.Float64).alias("label"),
        (pl.lit(source) if isinstance(source, str) else source.cast(pl.String)).alias("source"),
        _confidence(pipeline.label).alias("confidence"),
    )
    if isinstance(pipeline.objective, BinaryClassification):
        _check(rows, _one_of_two(pipeline.objective), pipeline)
    labels = rows.filter(pl.col("label").is_finite() & pl.col("known_at").is_not_null())
    for claim in (_SURE, _SOURCED):
        _check(labels, claim, pipeline)
    return labels


def trusted(labels: pl.DataFrame, label: Label) -> pl.DataFrame:
    """Those of `labels` that are sure enough to learn from and to be judged by."""
    return labels.filter(pl.col("confidence") >= label.min_confidence)


def by_source(labels: pl.DataFrame) -> pl.DataFrame:
    """How many `labels` each source gave, how sure it was, and the mean outcome it told; the largest first."""
    return (
        labels.group_by("source")
        .agg(labels=pl.len(), confidence=pl.col("confidence").mean(), mean=pl.col("label").mean())
        .sort(["labels", "source"], descending=[True, False])
    )


def columns_read(pipeline: Pipeline) -> list[str]:
    """The columns of accepted rows that labels are made from."""
    label = pipeline.label
    times = ["partition", "event_time", label.known_at, *(["known_at"] if pipeline.time.row_known_at else [])]
    read = [name for each in label.expressions.values() for name in each.meta.root_names()]
    return list(dict.fromkeys([*pipeline.key, *times, *read]))


def label_known_at(pipeline: Pipeline) -> pl.Expr:
    """When a row's outcome can be known, as an instant; null while nobody knows."""
    return pipeline.time.utc(pipeline.label.known_at) + pipeline.label.delay


def _row_label_known_at(pipeline: Pipeline) -> pl.Expr:
    """The same for a row of its own time: what a row says is not known before the row is."""
    outcome = label_known_at(pipeline)
    if pipeline.time.row_known_at is None:
        return outcome
    return pl.when(outcome.is_not_null()).then(pl.max_horizontal(outcome, "known_at"))


def _confidence(label: Label) -> pl.Expr:
    """The confidence of each row as a number; what is none is null."""
    declared = label.confidence if isinstance(label.confidence, pl.Expr) else pl.lit(label.confidence)
    return declared.cast(pl.Float64, strict=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What holds of one column of every label, and what to say of a label of which it does not."""

    column: str
    holds: pl.Expr
    """Null where it does not hold either."""
    broken: str
    expected: str
    hint: str


_SURE = _Claim(
    column="confidence",
    holds=pl.col("confidence").is_between(0, 1),
    broken="has no confidence from 0 to 1",
    expected="0 (a guess) to 1 (certain) for each row with an outcome",
    hint="say in the label's confidence what a missing one means, such as col('score').fill_null(0)",
)
_SOURCED = _Claim(
    column="source",
    holds=pl.col("source").is_not_null(),
    broken="has no source",
    expected="a text for each row with an outcome",
    hint="say in the label's source what a missing one means, such as col('by').fill_null('unknown')",
)


def _one_of_two(objective: BinaryClassification) -> _Claim:
    return _Claim(
        column="label",
        holds=pl.col("label").is_in([0.0, 1.0]) | pl.col("label").is_null(),
        broken="is no class",
        expected=f"1 ({objective.positive}), 0, or null while nobody knows",
        hint="compare or cast in the label's expression, such as col('status') == 'Canceled'",
    )


def _check(labels: pl.DataFrame, claim: _Claim, pipeline: Pipeline) -> None:
    """Raise PerennialError where `claim` does not hold, with the first of the `labels` that break it."""
    wrong = labels.filter(~claim.holds.fill_null(value=False))
    if wrong.is_empty():
        return
    first = wrong.row(0, named=True)
    value, key = first[claim.column], ", ".join(f"{name}={first[name]!r}" for name in pipeline.key)
    said = f"{value:g}" if isinstance(value, float) else "null"
    raise PerennialError(
        f"label {pipeline.label.name!r} {claim.broken}",
        where=f"{pipeline.name} {first['partition']}",
        found=f"{said} at {key}, and in {wrong.height} of {labels.height} rows in all",
        expected=claim.expected,
        hint=claim.hint,
    )
