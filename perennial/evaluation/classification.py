"""Classification: how good probabilities of a 0/1 label are, by themselves and as decisions at a threshold.

What is undefined (the recall of no positives, the ROC of one class) is NaN, never 0; and a
prediction outside 0 to 1 is no probability, so that nothing measured with it is a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from perennial.evaluation.blocks import Blocks, Measure, draw_days, interval
from perennial.objective import BinaryClassification

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

CLIP = 1e-7
"""A prediction counts as at least `CLIP` and at most 1 - `CLIP`, the last steps of float32 before 0 and 1:
one row that was held for certain and came out otherwise costs 16.1 nats, not infinitely many."""
BINS = 10
"""Equal parts of 0 to 1 that calibration is looked at in."""


def probabilities(prediction: Array) -> Array:
    """The predictions as float64, NaN where one is no probability."""
    import numpy as np

    values = np.asarray(prediction, dtype=np.float64)
    return np.where((values >= 0) & (values <= 1), values, np.nan)


def log_losses(label: Array, prediction: Array) -> Array:
    """The log loss of each row, in nats."""
    import numpy as np

    likely = np.clip(probabilities(prediction), CLIP, 1 - CLIP)
    losses: Array = -np.where(np.asarray(label) == 1, np.log(likely), np.log1p(-likely))
    return losses


def brier_scores(label: Array, prediction: Array) -> Array:
    """The squared difference of each row's probability from its 0/1 label."""
    import numpy as np

    scores: Array = np.square(probabilities(prediction) - np.asarray(label, dtype=np.float64))
    return scores


def measure_decisions(
    label: Array, prediction: Array, days: Array, *, objective: BinaryClassification, confidence: float, seed: int
) -> dict[str, Measure]:
    """All but the metrics themselves, by name.

    `roc_auc`; `calibration_error` (expected, over `BINS`: Naeini, Cooper and Hauskrecht 2015);
    `bias` (calibration in the large); and at the objective's threshold `kpi`, `cost` a row, and
    precision, recall and F1 of the positive and of the negative class.
    """
    likely = probabilities(prediction)
    cells = Blocks.of(days, *confusion_flags(label, likely, objective.cut).values())
    gaps = Blocks.of(days, *_gaps_by_bin(label, likely))
    statistics: Mapping[str, tuple[Blocks, Callable[[Array], Any]]] = {
        "calibration_error": (gaps, lambda means: abs(means).sum(axis=0)),
        "bias": (gaps, lambda means: means.sum(axis=0)),
        "kpi": (cells, _SHARES[objective.kpi.measure]),
        "cost": (cells, _cost(objective)),
        **{name: (cells, share) for name, share in _SHARES.items() if name != "accuracy"},
    }
    return {"roc_auc": roc_auc(label, likely, days, confidence=confidence, seed=seed)} | {
        name: blocks.measure(statistic, confidence=confidence, seed=seed)
        for name, (blocks, statistic) in statistics.items()
    }


def roc_auc(label: Array, prediction: Array, days: Array, *, confidence: float = 0.95, seed: int = 0) -> Measure:
    """The chance that a positive has a higher probability than a negative, ties half, with its interval.

    It is the Mann-Whitney statistic, which a table of day by day wins holds all of: drawing whole
    days again weighs the rows and columns of the table.
    """
    import numpy as np

    likely, positive = probabilities(prediction), np.asarray(label) == 1
    _, block = np.unique(days, return_inverse=True)
    number = int(block.max()) + 1
    wins = _wins(likely, positive, block, number)
    positives, negatives = (np.bincount(block[rows], minlength=number) for rows in (positive, ~positive))

    def area(weights: Array) -> Array:
        pairs = (weights @ positives) * (weights @ negatives)
        areas: Array = ((weights @ wins) * weights).sum(axis=1) / np.where(pairs, pairs, np.nan)
        return areas

    value = math.nan if np.isnan(likely).any() else float(area(np.ones((1, number)))[0])
    again = area(draw_days(number, seed=seed))
    return interval(value, again, rows=len(likely), days=number, confidence=confidence)


def confusion_flags(label: Array, prediction: Array, cut: float) -> dict[str, Array]:
    """For each cell of the confusion table, 1 where a row is in it, else 0; NaN where there is no probability."""
    import numpy as np

    likely, positive = probabilities(prediction), np.asarray(label) == 1
    decided = likely >= cut
    cells = {
        "true positive": decided & positive,
        "false positive": decided & ~positive,
        "false negative": ~decided & positive,
        "true negative": ~decided & ~positive,
    }
    return {name: np.where(np.isnan(likely), np.nan, inside) for name, inside in cells.items()}


def bins_of(prediction: Array) -> Array:
    """The bin of each probability, from 0; the last one holds 1 too."""
    import numpy as np

    return np.minimum((np.nan_to_num(probabilities(prediction)) * BINS).astype(np.int64), BINS - 1)


def _gaps_by_bin(label: Array, prediction: Array) -> list[Array]:
    """For each bin, prediction minus label of the rows in it, else 0."""
    import numpy as np

    inside, gap = bins_of(prediction), prediction - np.asarray(label, dtype=np.float64)
    return [np.where(inside == number, gap, 0.0) for number in range(BINS)]


def _wins(likely: Array, positive: Array, block: Array, number: int) -> Array:
    """How many pairs of a positive of the row's day and a negative of the column's day the positive wins."""
    import numpy as np

    levels, place = np.unique(likely, return_inverse=True)
    wins = np.empty((number, number))
    for day in range(number):
        count = np.bincount(place[~positive & (block == day)], minlength=len(levels))
        below = np.cumsum(count) - count / 2
        wins[:, day] = np.bincount(block[positive], weights=below[place[positive]], minlength=number)
    return wins


def _cost(objective: BinaryClassification) -> Callable[[Array], Any]:
    cost = objective.error_cost
    return lambda cells: cost.false_positive * cells[1] + cost.false_negative * cells[2]


_SHARES: Mapping[str, Callable[[Array], Any]] = {
    "accuracy": lambda cells: (cells[0] + cells[3]) / cells.sum(axis=0),
    "precision": lambda cells: cells[0] / (cells[0] + cells[1]),
    "recall": lambda cells: cells[0] / (cells[0] + cells[2]),
    "f1": lambda cells: 2 * cells[0] / (2 * cells[0] + cells[1] + cells[2]),
    "negative_precision": lambda cells: cells[3] / (cells[3] + cells[2]),
    "negative_recall": lambda cells: cells[3] / (cells[3] + cells[1]),
    "negative_f1": lambda cells: 2 * cells[3] / (2 * cells[3] + cells[1] + cells[2]),
}
"""Shares of the confusion table's cells, which stand in the order of `confusion_flags`."""
