"""Drawing: figures, their common colours and their PNG, made without a window: equal numbers, equal bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, VIOLET = "#4c78a8", "#f58518", "#54a24b", "#b279a2"
INK, FAINT = "#33373d", "#b8bec6"


def blank_figure(width: float, height: float, *, dpi: int = 90, arranged: bool = True) -> Figure:
    """A white figure of so many inches; `arranged`, matplotlib finds room for what stands around its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white", layout="constrained" if arranged else None)
    FigureCanvasAgg(figure)
    return figure


def titled_axes(title: str, width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one diagram."""
    figure = blank_figure(width, height)
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    clean(axes)
    return figure, axes


def clean(axes: Axes) -> None:
    """Take away the lines that say nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)


def png(figure: Figure) -> bytes:
    """The drawn figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
