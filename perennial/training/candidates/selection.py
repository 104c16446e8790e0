"""Selection: which features a candidate learns from, chosen on the rows to learn from and nothing else.

What is left out is no input of the exported graph, so that no answer can depend on it.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.errors import Misfit
from perennial.training.candidates.base import Candidate, Rows
from perennial.training.candidates.preparation import codes, frequent, number_matrix, usable

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from perennial.featurization.expressions import Feature

BINS = 16
"""Into which numbers are cut, as many rows in each; a number that many rows share has one of its own."""
CATEGORIES = 64
"""The most frequent ones, told apart; all others count as one."""


@dataclass(frozen=True, kw_only=True)
class Selecting(Candidate, ABC):
    """A candidate that may leave features out: by name, or for what they tell of the label."""

    ignore: tuple[str, ...] = ()
    """Features that it leaves out."""
    keep: int | None = None
    """How many features it learns from, those that tell most of the label; None takes all."""

    @property
    def needs(self) -> Sequence[str]:
        """The features it names, so that a misspelt one fails when the pipeline loads."""
        return self.ignore

    def misfits(self, features: Sequence[Feature]) -> Iterator[Misfit]:
        """A number of features to keep that there are not."""
        there = sum(feature.name not in self.ignore for feature in features)
        if self.keep is not None and not (type(self.keep) is int and 1 <= self.keep <= there):
            yield "keep", self.keep, f"1 to {there}, the features that it does not ignore, or None for all"

    def chosen(
        self, train: Rows, label: np.ndarray[Any, Any], features: Sequence[Feature], *, classifies: bool
    ) -> tuple[Feature, ...]:
        """The features to learn from, in declared order. Raises PerennialError when none is left."""
        there = usable(features, self.ignore, where=self.name)
        if self.keep is None:
            return there
        worth = information(train.features, label, there, classifies=classifies)
        best = sorted(there, key=lambda feature: -worth[feature.name])[: self.keep]  # of equal ones the first declared
        return tuple(feature for feature in there if feature in best)


def information(
    frame: pl.DataFrame, label: np.ndarray[Any, Any], features: Sequence[Feature], *, classifies: bool
) -> dict[str, float]:
    """By feature: its mutual information with the label, in nats, less what chance shows in as many cells.

    Each feature is looked at alone: of two that say the same both are worth much, and one that tells something
    only beside another is worth nothing. A missing value is a value. The correction is Miller's (1955): without it
    a category of many values would seem to tell what it has only by heart.
    """
    import numpy as np
    from sklearn.metrics import mutual_info_score

    goal = label.astype(np.int64) if classifies else _binned(label)
    worth = {}
    for feature in features:
        code = _coded(frame, feature)
        cells = (len(np.unique(code)) - 1) * (len(np.unique(goal)) - 1)
        worth[feature.name] = float(mutual_info_score(code, goal)) - cells / (2 * len(goal))
    return worth


def _coded(frame: pl.DataFrame, feature: Feature) -> np.ndarray[Any, Any]:
    """The values as a few whole numbers."""
    if feature.kind == "category":
        return codes(frame, feature.name, frequent(frame.get_column(feature.name), CATEGORIES))
    return _binned(number_matrix(frame, [feature.name])[:, 0])


def _binned(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bin of each value: between two edges, or on one; a missing value and an infinity share the last."""
    import numpy as np

    known = np.isfinite(values)
    exact = values.astype(np.float64)
    edges = np.unique(np.quantile(exact[known], np.linspace(0, 1, BINS + 1)[1:-1])) if known.any() else np.empty(0)
    bins = np.searchsorted(edges, exact, side="left") + np.searchsorted(edges, exact, side="right")
    return np.where(known, bins, 2 * BINS)
