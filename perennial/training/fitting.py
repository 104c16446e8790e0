"""Fitting: candidates learn on train, are compared on validation, and the best learns again on both.

The model that ships is the one fitted last, on train and validation together; the sealed test is not
touched here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.errors import PerennialError
from perennial.evaluation.classification import roc_auc
from perennial.evaluation.metrics import METRICS, Measure, day_blocks, error, measure
from perennial.featurization.expressions import featurize
from perennial.training.candidates.base import Candidate, Fitted, Rows

if TYPE_CHECKING:
    import numpy as np

    from perennial.declaration import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One candidate, fitted on train, and its error on each split that it may see."""

    candidate: str
    fitted: Fitted
    metrics: Mapping[str, float]
    """`train_mae`, `validation_mae` and `..._rmse`, in units of the label; or `..._log_loss`, `..._brier` and
    `..._roc_auc`, each with the `..._low` and `..._high` of its interval."""
    outcomes: np.ndarray[Any, Any]
    """Labels of the validation rows."""
    predictions: np.ndarray[Any, Any]
    """The fitted model's answers for the validation rows."""


def rows_of(frame: pl.DataFrame, pipeline: Pipeline) -> Rows:
    """The rows of a training set as candidates take them."""
    names = [feature.name for feature in pipeline.checked_features]
    return Rows(features=frame.select(names), label=frame.get_column("label").to_numpy())


def fit_candidate(pipeline: Pipeline, candidate: Candidate, training_set: pl.DataFrame) -> Trial:
    """Fit `candidate` on the train split, stopping early on the validation split."""
    train = rows_of(training_set.filter(pl.col("split") == "train"), pipeline)
    validation = rows_of(training_set.filter(pl.col("split") == "validation"), pipeline)
    fitted = candidate.fit(
        train,
        validation,
        features=pipeline.checked_features,
        objective=pipeline.objective,
        seed=pipeline.seed,
    )
    predictions = {"train": fitted.predict(train.features), "validation": fitted.predict(validation.features)}
    return Trial(
        candidate=candidate.name,
        fitted=fitted,
        metrics={
            f"{split}_{name}": value
            for split, answers in predictions.items()
            for name, value in _errors(pipeline, training_set.filter(pl.col("split") == split), answers).items()
        },
        outcomes=validation.label,
        predictions=predictions["validation"],
    )


def fit_again(pipeline: Pipeline, candidate: Candidate, training_set: pl.DataFrame, *, rounds: int | None) -> Fitted:
    """Fit `candidate` on train and validation together, for as many rounds as it kept before."""
    rows = rows_of(training_set.filter(pl.col("split") != "test"), pipeline)
    return candidate.fit(
        rows,
        None,
        features=pipeline.checked_features,
        objective=pipeline.objective,
        seed=pipeline.seed,
        rounds=rounds,
    )


def choose(pipeline: Pipeline, metrics: Mapping[str, Mapping[str, float]]) -> str:
    """The candidate with the least validation error by the objective's metric; ties go to the first declared.

    Raises PerennialError when a candidate's error is missing or not finite.
    """
    name = f"validation_{pipeline.objective.metric}"
    errors = {candidate.name: metrics.get(candidate.name, {}).get(name, math.nan) for candidate in pipeline.candidates}
    broken = [candidate for candidate, error in errors.items() if not math.isfinite(error)]
    if broken:
        raise PerennialError(
            f"no {name} for {', '.join(broken)}", where=pipeline.name, expected="a finite error for each candidate"
        )
    return min(errors, key=errors.__getitem__)


def answers(fitted: Fitted, raw: pl.DataFrame, pipeline: Pipeline) -> np.ndarray[Any, Any]:
    """The fitted model's own predictions for raw rows: what every other way of running it must repeat."""
    return fitted.predict(featurize(raw, pipeline.checked_features))


def parameters_of(candidate: Candidate) -> dict[str, Any]:
    """The candidate's declared hyperparameters by name."""
    return {field.name: getattr(candidate, field.name) for field in fields(candidate) if field.name != "name"}


def _errors(pipeline: Pipeline, rows: pl.DataFrame, predictions: np.ndarray[Any, Any]) -> dict[str, float]:
    """How wrong the predictions for `rows` are, by measure; what is undefined is left out."""
    label = rows.get_column("label").to_numpy()
    if pipeline.objective.task == "regression":
        return {name: error(label, predictions, metric=name) for name in METRICS["regression"]}
    days = day_blocks(rows.get_column("event_time"), pipeline.time.timezone)
    measured: dict[str, Measure] = {
        name: measure(label, predictions, days, metric=name, seed=pipeline.seed)
        for name in METRICS[pipeline.objective.task]
    }
    measured["roc_auc"] = roc_auc(label, predictions, days, seed=pipeline.seed)
    return {
        f"{name}{end}": value
        for name, each in measured.items()
        for end, value in (("", each.value), ("_low", each.low), ("_high", each.high))
        if math.isfinite(value)
    }
