"""Pictures: how late outcomes come, as PNG for the Dagster UI and the guide."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import timedelta

from perennial.labels.maturity import DelayCurve

COLOURS = ("#4c78a8", "#f58518", "#54a24b")
INK, FAINT = "#33373d", "#b8bec6"
DAY = timedelta(days=1)


def delay_picture(curves: Mapping[str, DelayCurve], *, completeness: float | None = None) -> bytes:
    """PNG of the share of outcomes known by the age of their row, a line each; `completeness` is drawn across."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title("outcomes known by age [share]", loc="left", fontsize=10, color=INK)
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
        ages = [0.0, *(age / DAY for age in curve.ages)]
        axes.step(ages, [0.0, *curve.shares], where="post", color=colour, label=name)
    if completeness is not None:
        axes.axhline(completeness, color=FAINT, linewidth=1, linestyle="--")
    axes.set_xlabel("days since the event")
    axes.set_ylim(0, 1.02)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return buffer.getvalue()
