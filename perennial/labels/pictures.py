"""Pictures: how late outcomes come, as PNG for the Dagster UI and the guide."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from perennial.labels.maturity import DelayCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2")
INK, FAINT = "#33373d", "#b8bec6"
DAY = timedelta(days=1)


def delay_picture(curves: Mapping[str, DelayCurve], *, completeness: float | None = None) -> bytes:
    """PNG of the share of outcomes known by the age of their row, a line each; `completeness` is drawn across."""
    figure, axes = _panel("outcomes known by age [share]")
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
        ages = [0.0, *(age / DAY for age in curve.ages)]
        axes.step(ages, [0.0, *curve.shares], where="post", color=colour, label=name)
    if completeness is not None:
        axes.axhline(completeness, color=FAINT, linewidth=1, linestyle="--")
    axes.set_xlabel("days since the event")
    axes.set_ylim(0, 1.02)
    return _png(figure, axes)


def cohort_picture(means: Mapping[str, Mapping[str, float]], *, unit: str, mature_until: str | None = None) -> bytes:
    """PNG of the mean outcome of each partition, a line for each way of knowing; beyond `mature_until` is shaded."""
    figure, axes = _panel(f"mean outcome by partition [{unit}]")
    keys = sorted({key for by_key in means.values() for key in by_key})
    for (name, by_key), colour in zip(means.items(), COLOURS, strict=False):
        places = [place for place, key in enumerate(keys) if key in by_key]
        axes.plot(places, [by_key[keys[place]] for place in places], "o-", markersize=3, color=colour, label=name)
    if mature_until in keys:
        axes.axvspan(keys.index(str(mature_until)) + 0.5, len(keys) - 0.5, color=FAINT, alpha=0.3, linewidth=0)
    shown = range(0, len(keys), max(1, len(keys) // 9))
    axes.set_xticks(list(shown), [keys[place] for place in shown])
    return _png(figure, axes)


def _panel(title: str) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)
    return figure, axes


def _png(figure: Figure, axes: Axes) -> bytes:
    if len(axes.lines) > 1:
        figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return buffer.getvalue()
