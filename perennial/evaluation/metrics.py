"""Evaluation: how wrong a model is on rows it never saw, and how sure one can be of that.

Rows of one day share weather, events and mistakes, so a day is the unit of evidence: whole days are
drawn again, never single rows (block bootstrap: Davison and Hinkley 1997, section 3.8; Field and
Welsh 2007). Percentiles of few days are too narrow, so the interval is the value ± Student's t with
days - 1 degrees of freedom x the bootstrap's standard error x sqrt(days / (days - 1)) (Hesterberg
2015, sections 4 and 5). Days are taken as independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from perennial.objective import Regression
from perennial.policies import Slice

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Metric = Literal["mae", "rmse"]
RESAMPLES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number measured on rows, with its interval."""

    value: float
    low: float
    high: float
    """`low` and `high` are NaN with fewer than two days: nothing is known of the spread."""
    confidence: float
    rows: int
    days: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a table or JSON."""
        return asdict(self)


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
    """Mean absolute or root mean squared error, in units of the label.

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
    blocks = _Blocks.of(days, _losses(label, prediction, metric))
    return blocks.measure(lambda means: _finish(means[0], metric), confidence=confidence, seed=seed)


def measure_all(
    label: Array, prediction: Array, days: Array, *, objective: Regression, confidence: float = 0.95, seed: int = 0
) -> dict[str, Measure]:
    """Both metrics, `kpi` (share within tolerance), `cost` (mean cost of the error) and `bias`, by name."""
    import numpy as np

    residual = np.asarray(prediction, dtype=np.float64) - np.asarray(label, dtype=np.float64)
    cost = objective.error_cost
    each = {
        "kpi": (np.abs(residual) <= objective.kpi.tolerance).astype(np.float64),
        "cost": cost.over * np.maximum(residual, 0) + cost.under * np.maximum(-residual, 0),
        "bias": residual,
    }
    metrics: tuple[Metric, ...] = ("mae", "rmse")
    return {m: measure(label, prediction, days, metric=m, confidence=confidence, seed=seed) for m in metrics} | {
        name: _Blocks.of(days, values).measure(lambda means: means[0], confidence=confidence, seed=seed)
        for name, values in each.items()
    }


def paired_difference(
    label: Array, ours: Array, theirs: Array, days: Array, *, metric: Metric, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """The error of predictions `ours` minus that of `theirs`, both drawn again on the same days."""
    blocks = _Blocks.of(days, _losses(label, ours, metric), _losses(label, theirs, metric))
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


def _losses(label: Array, prediction: Array, metric: Metric) -> Array:
    """The loss of each row, whose mean `_finish` turns into the metric; NaN where there is no answer."""
    import numpy as np

    residual = np.asarray(prediction, dtype=np.float64) - np.asarray(label, dtype=np.float64)
    return np.abs(residual) if metric == "mae" else np.square(residual)


def _finish(mean: Any, metric: Metric) -> Any:
    """The metric from a mean loss, or an array of mean losses."""
    return mean if metric == "mae" else mean**0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blocks:
    """Values of rows summed by day: all that drawing whole days again needs."""

    sums: Array
    """One row a value, one column a day."""
    counts: Array

    @classmethod
    def of(cls, days: Array, *values: Array) -> _Blocks:
        import numpy as np

        _, block = np.unique(days, return_inverse=True)
        sums = np.stack([np.bincount(block, weights=each) for each in values])
        return cls(sums=sums, counts=np.bincount(block).astype(np.float64))

    def measure(self, statistic: Callable[[Array], Any], *, confidence: float, seed: int) -> Measure:
        """`statistic` of the mean of each value, with its interval."""
        days = len(self.counts)
        value = float(statistic(self.sums.sum(axis=1) / self.counts.sum()))
        half = self._half_width(statistic, confidence=confidence, seed=seed) if days > 1 else math.nan
        return Measure(
            value=value,
            low=value - half,
            high=value + half,
            confidence=confidence,
            rows=int(self.counts.sum()),
            days=days,
        )

    def _half_width(self, statistic: Callable[[Array], Any], *, confidence: float, seed: int) -> float:
        import numpy as np
        from scipy.stats import t

        days = len(self.counts)
        drawn = np.random.default_rng(seed).multinomial(days, np.full(days, 1 / days), size=RESAMPLES)
        again = statistic((self.sums @ drawn.T) / (drawn @ self.counts))
        return float(t.ppf(0.5 + confidence / 2, days - 1) * again.std(ddof=1) * math.sqrt(days / (days - 1)))
