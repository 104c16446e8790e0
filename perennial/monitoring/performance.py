"""Monitoring: what became of the predictions that were served, and how good they were.

An outcome reported for a prediction's id wins over a label of the same key, because it was said about
that very answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from perennial.evaluation.classification import CLIP
from perennial.objective import BinaryClassification, Objective, Regression

OUTCOME = pl.Struct({"label": pl.Float64, "source": pl.String, "confidence": pl.Float64})
"""What is told of an outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """How good the answered predictions were; what has no label yet is counted and not judged."""

    version: int | None
    """None for all versions together."""
    predictions: int
    answered: int
    """Predictions whose label is known."""
    metric: float | None
    """The objective's metric over the answered ones; None without any."""
    bias: float | None
    """Mean of prediction minus label."""
    kpi_share: float | None
    """The business KPI over the answered ones: the share within its tolerance, or of right decisions."""

    @property
    def matched_share(self) -> float:
        """Share of the predictions whose label is known."""
        return self.answered / self.predictions if self.predictions else 0.0


def match_outcomes(
    predictions: pl.DataFrame, feedback: pl.DataFrame, labels: pl.DataFrame, *, key: Sequence[str]
) -> pl.DataFrame:
    """Ground truth: every prediction once, in order, with `label` and where it is from, null while unknown.

    `predictions` has `id`, `version`, `partition`, `prediction` and whichever columns of `key` were
    sent; `feedback` has `prediction_id`, `label`, `received_at`, and the newest counts; `labels` has
    the columns of `key` and `label`, and of rows with one key the last counts; both have `source` and
    `confidence`. A null matches nothing. `source` says which of the two it is from, `said_by` whose word
    it was there.
    """
    said = (
        feedback.drop_nulls(["prediction_id", "label"])
        .sort("received_at", maintain_order=True)
        .unique("prediction_id", keep="last")
        .select(id="prediction_id", said=_told())
    )
    truth = predictions.join(said, on="id", how="left", maintain_order="left")
    truth = _with_labels(truth, labels, list(key))
    by_feedback = pl.when(pl.col("said").is_not_null()).then(pl.lit("feedback"))
    source = by_feedback.when(pl.col("known").is_not_null()).then(pl.lit("labels"))
    told = pl.coalesce("said", "known").struct
    parts = {"label": told.field("label"), "said_by": told.field("source"), "confidence": told.field("confidence")}
    return truth.with_columns(source=source, **parts).drop("said", "known")


def performance(truth: pl.DataFrame, objective: Objective) -> tuple[Performance, ...]:
    """All predictions of the ground truth together, then each version, oldest first.

    For a classification an outcome other than 0 and 1 is none.
    """
    if isinstance(objective, BinaryClassification):
        truth = truth.with_columns(label=pl.when(pl.col("label").is_in([0.0, 1.0])).then(pl.col("label")))
    measures = _measures(objective)
    overall = truth.select(pl.lit(None, pl.Int64).alias("version"), *measures)
    by_version = truth.group_by("version").agg(measures).sort("version")
    rows = [*overall.iter_rows(named=True), *by_version.iter_rows(named=True)]
    return tuple(Performance(**row) for row in rows)


def _with_labels(truth: pl.DataFrame, labels: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """`truth` with `known`, the label of the row's key."""
    if not set(key) <= set(truth.columns):
        return truth.with_columns(known=pl.lit(None, OUTCOME))
    known = labels.drop_nulls([*key, "label"]).unique(key, keep="last", maintain_order=True)
    known = known.select(*key, known=_told())
    sent = [_as(pl.col(name), truth.schema[name], known.schema[name]).alias(f"key: {name}") for name in key]
    joined = truth.with_columns(sent).join(
        known, left_on=[f"key: {name}" for name in key], right_on=key, how="left", maintain_order="left"
    )
    return joined.drop([f"key: {name}" for name in key])


def _told() -> pl.Expr:
    """An outcome, who says so and how surely, as one value."""
    return pl.struct(pl.col(name).cast(dtype) for name, dtype in OUTCOME.to_schema().items())


def _as(value: pl.Expr, sent: pl.DataType, declared: pl.DataType) -> pl.Expr:
    """A key as it was sent, in the type of the labels' key; what does not fit is null and matches nothing."""
    if sent == pl.String and declared.is_temporal():
        return value.str.to_datetime(strict=False, time_unit="us").cast(declared, strict=False)
    return value.cast(declared, strict=False)


def _measures(objective: Objective) -> list[pl.Expr]:
    metric, kpi = _of_numbers(objective) if isinstance(objective, Regression) else _of_decisions(objective)
    return [
        pl.len().alias("predictions"),
        pl.col("label").is_not_null().sum().alias("answered"),
        metric.alias("metric"),
        (pl.col("prediction") - pl.col("label")).mean().alias("bias"),
        kpi.alias("kpi_share"),
    ]


def _of_numbers(objective: Regression) -> tuple[pl.Expr, pl.Expr]:
    """The metric and the KPI of a regression."""
    error = pl.col("prediction") - pl.col("label")
    metric = error.abs().mean() if objective.metric == "mae" else (error**2).mean().sqrt()
    return metric, (error.abs() <= objective.kpi.tolerance).mean()


def _of_decisions(objective: BinaryClassification) -> tuple[pl.Expr, pl.Expr]:
    """The metric and the KPI of a classification; a share of no rows is null."""
    prediction, positive = pl.col("prediction"), pl.col("label") == 1
    likely = prediction.clip(CLIP, 1 - CLIP)
    loss = -pl.when(positive).then(likely.log()).otherwise((-likely).log1p())
    squared = (prediction - pl.col("label")) ** 2
    known = pl.col("label").is_not_null()
    decided = prediction >= objective.cut
    within = {"accuracy": known, "precision": known & decided, "recall": known & positive}[objective.kpi.measure]
    right = (decided == positive).filter(within).mean()
    return (loss.filter(known) if objective.metric == "log_loss" else squared).mean(), right
