"""Pictures: how late outcomes come, as PNG for the Dagster UI and the guide."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from perennial.drawing import BLUE, FAINT, GREEN, ORANGE, VIOLET, png, titled_axes
from perennial.labels.maturity import DelayCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (BLUE, ORANGE, GREEN, VIOLET)
INCHES = 7.2, 3.2
DAY = timedelta(days=1)


def delay_picture(curves: Mapping[str, DelayCurve], *, completeness: float | None = None) -> bytes:
    """PNG of the share of outcomes known by the age of their row, a line each; `completeness` is drawn across."""
    figure, axes = titled_axes("outcomes known by age [share]", *INCHES)
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
        ages = [0.0, *(age / DAY for age in curve.ages)]
        axes.step(ages, [0.0, *curve.shares], where="post", color=colour, label=name)
    if completeness is not None:
        axes.axhline(completeness, color=FAINT, linewidth=1, linestyle="--")
    axes.set_xlabel("days since the event")
    axes.set_ylim(0, 1.02)
    return _with_legend(figure, axes)


def cohort_picture(means: Mapping[str, Mapping[str, float]], *, unit: str, mature_until: str | None = None) -> bytes:
    """PNG of the mean outcome of each partition, a line for each way of knowing; beyond `mature_until` is shaded."""
    figure, axes = titled_axes(f"mean outcome by partition [{unit}]", *INCHES)
    keys = sorted({key for by_key in means.values() for key in by_key})
    for (name, by_key), colour in zip(means.items(), COLOURS, strict=False):
        places = [place for place, key in enumerate(keys) if key in by_key]
        axes.plot(places, [by_key[keys[place]] for place in places], "o-", markersize=3, color=colour, label=name)
    if mature_until in keys:
        axes.axvspan(keys.index(str(mature_until)) + 0.5, len(keys) - 0.5, color=FAINT, alpha=0.3, linewidth=0)
    shown = range(0, len(keys), max(1, len(keys) // 9))
    axes.set_xticks(list(shown), [keys[place] for place in shown])
    return _with_legend(figure, axes)


def _with_legend(figure: Figure, axes: Axes) -> bytes:
    """PNG of `figure`, with the names of its lines where there are several."""
    if len(axes.lines) > 1:
        figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    return png(figure)
