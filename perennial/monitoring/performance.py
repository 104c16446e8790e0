"""Monitoring: what became of the predictions that were served, and how good they were.

An outcome reported for a prediction's id wins over a label of the same key, because it was said about
that very answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from perennial.objective import Regression


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
    """Share of the answered ones within the tolerance of the business KPI."""

    @property
    def matched_share(self) -> float:
        """Share of the predictions whose label is known."""
        return self.answered / self.predictions if self.predictions else 0.0


def match_outcomes(
    predictions: pl.DataFrame, feedback: pl.DataFrame, labels: pl.DataFrame, *, key: Sequence[str]
) -> pl.DataFrame:
    """Ground truth: every prediction once, in order, with `label` and its `source`, null while unknown.

    `predictions` has `id`, `version`, `partition`, `prediction` and whichever columns of `key` were
    sent; `feedback` has `prediction_id`, `label`, `received_at`, and the newest counts; `labels` has
    the columns of `key` and `label`, and of rows with one key the last counts. A null matches nothing.
    """
    said = (
        feedback.drop_nulls(["prediction_id", "label"])
        .sort("received_at", maintain_order=True)
        .unique("prediction_id", keep="last")
        .select(id="prediction_id", said=pl.col("label").cast(pl.Float64))
    )
    truth = predictions.join(said, on="id", how="left", maintain_order="left")
    truth = _with_labels(truth, labels, list(key))
    by_feedback = pl.when(pl.col("said").is_not_null()).then(pl.lit("feedback"))
    source = by_feedback.when(pl.col("known").is_not_null()).then(pl.lit("labels"))
    return truth.with_columns(label=pl.coalesce("said", "known"), source=source).drop("said", "known")


def performance(truth: pl.DataFrame, objective: Regression) -> tuple[Performance, ...]:
    """All predictions of the ground truth together, then each version, oldest first."""
    measures = _measures(objective)
    overall = truth.select(pl.lit(None, pl.Int64).alias("version"), *measures)
    by_version = truth.group_by("version").agg(measures).sort("version")
    rows = [*overall.iter_rows(named=True), *by_version.iter_rows(named=True)]
    return tuple(Performance(**row) for row in rows)


def _with_labels(truth: pl.DataFrame, labels: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """`truth` with `known`, the label of the row's key."""
    if not set(key) <= set(truth.columns):
        return truth.with_columns(known=pl.lit(None, pl.Float64))
    known = labels.drop_nulls([*key, "label"]).unique(key, keep="last", maintain_order=True)
    known = known.select(*key, known=pl.col("label").cast(pl.Float64))
    sent = [_as(pl.col(name), truth.schema[name], known.schema[name]).alias(f"key: {name}") for name in key]
    joined = truth.with_columns(sent).join(
        known, left_on=[f"key: {name}" for name in key], right_on=key, how="left", maintain_order="left"
    )
    return joined.drop([f"key: {name}" for name in key])


def _as(value: pl.Expr, sent: pl.DataType, declared: pl.DataType) -> pl.Expr:
    """A key as it was sent, in the type of the labels' key; what does not fit is null and matches nothing."""
    if sent == pl.String and declared.is_temporal():
        return value.str.to_datetime(strict=False, time_unit="us").cast(declared, strict=False)
    return value.cast(declared, strict=False)


def _measures(objective: Regression) -> list[pl.Expr]:
    error = pl.col("prediction") - pl.col("label")
    metric = error.abs().mean() if objective.metric == "mae" else (error**2).mean().sqrt()
    return [
        pl.len().alias("predictions"),
        pl.col("label").is_not_null().sum().alias("answered"),
        metric.alias("metric"),
        error.mean().alias("bias"),
        (error.abs() <= objective.kpi.tolerance).mean().alias("kpi_share"),
    ]
