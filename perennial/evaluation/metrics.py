"""Metrics: how wrong a model is on rows it never saw, with intervals from whole days drawn again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from perennial.evaluation.blocks import Blocks, Measure
from perennial.evaluation.classification import brier_scores, log_losses, measure_decisions
from perennial.objective import Objective, Regression, Task
from perennial.policies import Slice

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Metric = Literal["mae", "rmse", "log_loss", "brier"]
METRICS: Mapping[Task, tuple[Metric, ...]] = {
    "regression": ("mae", "rmse"),
    "binary classification": ("log_loss", "brier"),
}
"""What an objective may minimise, all of it measured."""

__all__ = [
    "METRICS",
    "Difference",
    "Measure",
    "Metric",
    "SliceMeasure",
    "day_blocks",
    "error",
    "measure",
    "measure_all",
    "measure_slices",
    "paired_difference",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The error of one model minus that of another on the same rows: below zero, the first is better."""

    ours: float
    theirs: float
    gap: Measure

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a table or JSON."""
        return {"ours": self.ours, "theirs": self.theirs, **self.gap.as_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceMeasure:
    """The error on one slice of the rows, NaN when no row is in it."""

    name: str
    value: float
    rows: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a table or JSON."""
        return asdict(self)


def error(label: Array, prediction: Array, *, metric: Metric) -> float:
    """The mean of the metric's loss: mae and rmse in units of the label, log_loss in nats, brier squared.

    >>> import numpy as np
    >>> error(np.array([1.0, 3.0]), np.array([2.0, 6.0]), metric="mae")
    2.0
    """
    return float(_finish(_losses(label, prediction, metric).mean(), metric))


def day_blocks(event_time: pl.Series, timezone: str) -> Array:
    """The local day of each event, as a number that rows of one day share."""
    return event_time.dt.convert_time_zone(timezone).dt.date().to_physical().to_numpy()


def measure(
    label: Array, prediction: Array, days: Array, *, metric: Metric, confidence: float = 0.95, seed: int = 0
) -> Measure:
    """The error with its interval; `days` names the day of each row."""
    blocks = Blocks.of(days, _losses(label, prediction, metric))
    return blocks.measure(lambda means: _finish(means[0], metric), confidence=confidence, seed=seed)


def measure_all(
    label: Array, prediction: Array, days: Array, *, objective: Objective, confidence: float = 0.95, seed: int = 0
) -> dict[str, Measure]:
    """The metrics of the objective's task, `kpi`, `cost`, `bias` and what else its task knows, by name."""
    metrics = METRICS[objective.task]
    measured = {m: measure(label, prediction, days, metric=m, confidence=confidence, seed=seed) for m in metrics}
    if isinstance(objective, Regression):
        more = _measure_residuals(label, prediction, days, objective=objective, confidence=confidence, seed=seed)
    else:
        more = measure_decisions(label, prediction, days, objective=objective, confidence=confidence, seed=seed)
    return measured | more


def paired_difference(
    label: Array, ours: Array, theirs: Array, days: Array, *, metric: Metric, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """The error of predictions `ours` minus that of `theirs`, both drawn again on the same days."""
    blocks = Blocks.of(days, _losses(label, ours, metric), _losses(label, theirs, metric))
    gap = blocks.measure(
        lambda means: _finish(means[0], metric) - _finish(means[1], metric), confidence=confidence, seed=seed
    )
    return Difference(ours=error(label, ours, metric=metric), theirs=error(label, theirs, metric=metric), gap=gap)


def measure_slices(
    rows: pl.DataFrame, slices: Sequence[Slice], prediction: Array, *, metric: Metric
) -> Mapping[str, SliceMeasure]:
    """The error on each declared slice of `rows`, which hold the raw columns and `label`."""
    judged = rows.with_columns(prediction=pl.Series(prediction))
    measures = {}
    for part in slices:
        inside = judged.filter(part.where)
        value = math.nan
        if inside.height:
            value = error(inside["label"].to_numpy(), inside["prediction"].to_numpy(), metric=metric)
        measures[part.name] = SliceMeasure(name=part.name, value=value, rows=inside.height)
    return measures


def _measure_residuals(
    label: Array, prediction: Array, days: Array, *, objective: Regression, confidence: float, seed: int
) -> dict[str, Measure]:
    """`kpi` (share within tolerance), `cost` (mean cost of the error) and `bias`, by name."""
    import numpy as np

    residual = np.asarray(prediction, dtype=np.float64) - np.asarray(label, dtype=np.float64)
    cost = objective.error_cost
    each = {
        "kpi": (np.abs(residual) <= objective.kpi.tolerance).astype(np.float64),
        "cost": cost.over * np.maximum(residual, 0) + cost.under * np.maximum(-residual, 0),
        "bias": residual,
    }
    return {
        name: Blocks.of(days, values).measure(lambda means: means[0], confidence=confidence, seed=seed)
        for name, values in each.items()
    }


def _losses(label: Array, prediction: Array, metric: Metric) -> Array:
    """The loss of each row, whose mean `_finish` turns into the metric; NaN where there is no answer."""
    import numpy as np

    if metric == "log_loss":
        return log_losses(label, prediction)
    if metric == "brier":
        return brier_scores(label, prediction)
    residual = np.asarray(prediction, dtype=np.float64) - np.asarray(label, dtype=np.float64)
    return np.abs(residual) if metric == "mae" else np.square(residual)


def _finish(mean: Any, metric: Metric) -> Any:
    """The metric from a mean loss, or an array of mean losses."""
    return mean**0.5 if metric == "rmse" else mean
