"""Pictures: how a fit went and how two models compare, as PNG for the Dagster UI and MLflow."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from perennial.training.candidates.base import LearningCurve

BLUE, ORANGE, INK, FAINT = "#4c78a8", "#f58518", "#33373d", "#b8bec6"


def learning_curve_picture(curve: LearningCurve, *, unit: str) -> bytes:
    """PNG of the error after each round, on the fitted rows and on the validation rows."""
    figure, axes = _panel(f"error by round [{unit}]")
    rounds = range(1, len(curve.train) + 1)
    axes.plot(rounds, curve.train, color=FAINT, label="train")
    axes.plot(range(1, len(curve.validation) + 1), curve.validation, color=BLUE, label="validation")
    axes.set_xlabel("round")
    axes.legend(frameon=False)
    return _png(figure)


def error_picture(label: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any], *, unit: str) -> bytes:
    """PNG of predictions against outcomes, with the distribution of their differences."""
    import numpy as np

    figure = _figure(8.0, 3.2)
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
        _clean(axes)
    return _png(figure)


def comparison_picture(measured: Mapping[str, tuple[float, float, float]], *, title: str, unit: str) -> bytes:
    """PNG of several models' metric, each with its interval: `name -> (value, low, high)`."""
    figure, axes = _panel(f"{title} [{unit}]", height=0.9 + 0.4 * len(measured))
    names = list(reversed(list(measured)))
    for row, name in enumerate(names):
        value, low, high = measured[name]
        axes.plot([low, high], [row, row], color=FAINT, linewidth=3, solid_capstyle="round")
        axes.plot(value, row, "o", color=ORANGE if name.startswith("bundle") else BLUE)
        axes.annotate(f"{value:.3g}", (value, row), textcoords="offset points", xytext=(0, 7), ha="center", fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(measured) - 0.3)
    return _png(figure)


def _apart(low: float, high: float) -> tuple[float, float]:
    """Bounds that an axis can be cut between, also when all values are one."""
    return (low, high) if high - low > 1e-6 * (1 + abs(low) + abs(high)) else (low - 0.5, high + 0.5)


def _panel(title: str, *, height: float = 3.0) -> tuple[Figure, Axes]:
    figure = _figure(6.4, height)
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    _clean(axes)
    return figure, axes


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return buffer.getvalue()
