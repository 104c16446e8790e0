"""Blocks: whole days drawn again, and the interval that they leave around a measured number.

Rows of one day share weather, events and mistakes, so a day is the unit of evidence: whole days are
drawn again, never single rows (block bootstrap: Davison and Hinkley 1997, section 3.8; Field and
Welsh 2007). Percentiles of few days are too narrow, so the interval is the value ± Student's t with
days - 1 degrees of freedom x the bootstrap's standard error x sqrt(days / (days - 1)) (Hesterberg
2015, sections 4 and 5). Days are taken as independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

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
class Blocks:
    """Values of rows summed by day: all that drawing whole days again needs."""

    sums: Array
    """One row a value, one column a day."""
    counts: Array

    @classmethod
    def of(cls, days: Array, *values: Array) -> Blocks:
        """The sums of `values` over the rows of each day."""
        import numpy as np

        _, block = np.unique(days, return_inverse=True)
        sums = np.stack([np.bincount(block, weights=each) for each in values])
        return cls(sums=sums, counts=np.bincount(block).astype(np.float64))

    def measure(self, statistic: Callable[[Array], Any], *, confidence: float, seed: int) -> Measure:
        """`statistic` of the mean of each value, with its interval."""
        import numpy as np

        with np.errstate(divide="ignore", invalid="ignore"):  # a share of no rows is NaN
            value = float(statistic(self.sums.sum(axis=1) / self.counts.sum()))
            drawn = draw_days(len(self.counts), seed=seed)
            again = statistic((self.sums @ drawn.T) / (drawn @ self.counts))
        return interval(value, again, rows=int(self.counts.sum()), days=len(self.counts), confidence=confidence)


def draw_days(days: int, *, seed: int) -> Array:
    """How often each of `days` is drawn, one row a resample."""
    import numpy as np

    return np.random.default_rng(seed).multinomial(days, np.full(days, 1 / days), size=RESAMPLES)


def interval(value: float, again: Array, *, rows: int, days: int, confidence: float) -> Measure:
    """The measure `value` with the interval from its values on `again` drawn days.

    A draw on which it is undefined, such as a share of positives where none was drawn, says nothing.
    """
    import numpy as np
    from scipy.stats import t

    defined = again[np.isfinite(again)]
    half = math.nan
    if days > 1 and len(defined) > 1:
        half = float(t.ppf(0.5 + confidence / 2, days - 1) * defined.std(ddof=1) * math.sqrt(days / (days - 1)))
    return Measure(value=value, low=value - half, high=value + half, confidence=confidence, rows=rows, days=days)
