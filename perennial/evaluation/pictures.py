"""Pictures: how a fit went and how two models compare, as PNG for the Dagster UI and MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from perennial.drawing import BLUE, FAINT, INK, ORANGE, blank_figure, clean, png, titled_axes
from perennial.evaluation.classification import BINS, bins_of, confusion_flags
from perennial.objective import BinaryClassification, Objective, Regression

if TYPE_CHECKING:
    import numpy as np

    from perennial.training.candidates.base import LearningCurve

WIDE = 8.0, 3.2
"""Inches of two diagrams side by side."""


def answer_pictures(
    label: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any], *, objective: Objective
) -> dict[str, bytes]:
    """A PNG for each way of looking at predictions beside their outcomes, by file name."""
    if isinstance(objective, Regression):
        return {"errors.png": error_picture(label, predicted, unit=objective.unit)}
    return {
        "calibration.png": calibration_picture(label, predicted, unit=objective.unit),
        "roc.png": roc_picture(label, predicted),
        "confusion.png": confusion_picture(label, predicted, objective=objective),
    }


def learning_curve_picture(curve: LearningCurve, *, unit: str) -> bytes:
    """PNG of the error after each round, on the fitted rows and on the validation rows."""
    figure, axes = titled_axes(f"error by round [{unit}]", 6.4, 3.0)
    rounds = range(1, len(curve.train) + 1)
    axes.plot(rounds, curve.train, color=FAINT, label="train")
    axes.plot(range(1, len(curve.validation) + 1), curve.validation, color=BLUE, label="validation")
    axes.set_xlabel("round")
    axes.legend(frameon=False, loc="upper right")
    return png(figure)


def error_picture(label: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any], *, unit: str) -> bytes:
    """PNG of predictions against outcomes, with the distribution of their differences."""
    import numpy as np

    figure = blank_figure(*WIDE)
    left, right = figure.subplots(1, 2)
    low, high = _apart(*np.quantile(np.concatenate([label, predicted]), [0.001, 0.999]))
    left.hexbin(label, predicted, gridsize=40, extent=(low, high, low, high), mincnt=1, cmap="Blues", bins="log")
    left.plot([low, high], [low, high], color=ORANGE, linewidth=1)
    left.set_xlabel(f"outcome [{unit}]")
    left.set_ylabel(f"prediction [{unit}]")
    errors = predicted - label
    bounds = _apart(*np.quantile(errors, [0.005, 0.995]))
    right.hist(errors.clip(*bounds), bins=40, range=bounds, color=BLUE)
    right.axvline(0, color=ORANGE, linewidth=1)
    right.set_xlabel(f"prediction minus outcome [{unit}]")
    right.set_ylabel("rows")
    for axes in (left, right):
        clean(axes)
    return png(figure)


def calibration_picture(label: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any], *, unit: str) -> bytes:
    """PNG of the share of positives by predicted probability (reliability), over how often each is predicted."""
    import numpy as np

    figure = blank_figure(*WIDE)
    left, right = figure.subplots(1, 2)
    inside = bins_of(predicted)
    rows = np.bincount(inside, minlength=BINS)
    seen = rows > 0
    sums = (np.bincount(inside, weights=each, minlength=BINS) for each in (label, predicted))
    shares, means = (each[seen] / rows[seen] for each in sums)
    spread = 1.96 * np.sqrt(shares * (1 - shares) / rows[seen])
    left.plot([0, 1], [0, 1], color=ORANGE, linewidth=1)
    left.errorbar(means, shares, yerr=spread, fmt="o", color=BLUE, ecolor=FAINT, capsize=2)
    left.set_xlabel("mean prediction")
    left.set_ylabel(unit)
    bounds = np.linspace(0, 1, 41)
    for name, part, color in (("outcome 0", label == 0, FAINT), ("outcome 1", label == 1, BLUE)):
        right.hist(predicted[part], bins=bounds, color=color, alpha=0.7, label=name)
    right.set_xlabel("prediction")
    right.set_ylabel("rows")
    right.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2)
    for axes in (left, right):
        clean(axes)
    return png(figure)


def roc_picture(label: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any]) -> bytes:
    """PNG of the ROC curve, and of precision against recall, over all thresholds."""
    import numpy as np

    figure = blank_figure(*WIDE)
    left, right = figure.subplots(1, 2)
    levels, place = np.unique(-predicted, return_inverse=True)
    hits, alarms = (
        np.concatenate([[0], np.cumsum(np.bincount(place, weights=each, minlength=len(levels)))])
        for each in (label, 1 - label)
    )
    left.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    left.plot(alarms / max(alarms[-1], 1), hits / max(hits[-1], 1), color=BLUE)
    left.set_xlabel("false positive rate")
    left.set_ylabel("true positive rate (recall)")
    right.plot(hits[1:] / max(hits[-1], 1), hits[1:] / (hits[1:] + alarms[1:]), color=BLUE)
    right.axhline(label.mean(), color=FAINT, linewidth=1)
    right.set_ylim(0, 1.03)
    right.set_xlabel("recall")
    right.set_ylabel("precision")
    for axes in (left, right):
        clean(axes)
    return png(figure)


def confusion_picture(
    label: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any], *, objective: BinaryClassification
) -> bytes:
    """PNG of how many rows of each outcome were decided which way at the objective's threshold."""
    figure, axes = titled_axes(f"decisions at {objective.cut:.3g} [rows]", 6.4, 2.6)
    cells = [int(flags.sum()) for flags in confusion_flags(label, predicted, objective.cut).values()]
    table = [[cells[0], cells[2]], [cells[1], cells[3]]]
    axes.imshow(table, cmap="Blues", vmin=0, aspect="auto")
    words = [objective.positive, f"not {objective.positive}"]
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        count = table[row][column]
        shade = "white" if count > max(cells) / 2 else INK
        text = f"{count:,} ({count / max(sum(table[row]), 1):.1%})"
        axes.text(column, row, text, ha="center", va="center", color=shade)
    axes.set_xticks([0, 1], [f"decided: {word}" for word in words])
    axes.set_yticks([0, 1], [f"was {word}" for word in words])
    return png(figure)


def comparison_picture(measured: Mapping[str, tuple[float, float, float]], *, title: str, unit: str) -> bytes:
    """PNG of several models' metric, each with its interval: `name -> (value, low, high)`."""
    figure, axes = titled_axes(f"{title} [{unit}]", 6.4, 0.9 + 0.4 * len(measured))
    names = list(reversed(list(measured)))
    for row, name in enumerate(names):
        value, low, high = measured[name]
        axes.plot([low, high], [row, row], color=FAINT, linewidth=3, solid_capstyle="round")
        axes.plot(value, row, "o", color=ORANGE if name.startswith("bundle") else BLUE)
        axes.annotate(f"{value:.3g}", (value, row), textcoords="offset points", xytext=(0, 7), ha="center", fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(measured) - 0.3)
    return png(figure)


def _apart(low: float, high: float) -> tuple[float, float]:
    """Bounds that an axis can be cut between, also when all values are one."""
    return (low, high) if high - low > 1e-6 * (1 + abs(low) + abs(high)) else (low - 0.5, high + 0.5)
