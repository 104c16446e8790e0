"""Season pictures: a partition against its history, so that one sees at a glance why it was blocked."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from perennial.drawing import BLUE, INK, ORANGE, blank_figure, png
from perennial.validation.seasons.baseline import kind_of
from perennial.validation.seasons.judgement import Culprit, Judgement, season_of
from perennial.validation.seasons.panel import Name, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from perennial.declaration import Pipeline

COLOURS = {"pass": BLUE, "warn": "#e0a200", "retrain": ORANGE, "block": "#d62728"}
FAINT, LIKE = "#c9ced5", "#7d8793"
PANELS = 6
ACROSS = 3
WORDS = {
    "rows": "rows", "nulls": "missing values", "duplicates": "rows that share their key", "p50": "median",
    "p05": "5 % quantile", "p25": "25 % quantile", "p75": "75 % quantile", "p95": "95 % quantile",
    "commonest": "the commonest value", "middle": "mean without outliers", "far": "values far out",
    "distinct": "distinct values", "zero": "zeros", "negative": "below zero", "whole": "whole numbers",
    "gap": "longest gap [h]", "first": "start to first row [h]", "last": "last row to end [h]",
    "quarantined": "quarantined rows", "overlap": "rows of an earlier partition", "hours": "rows by hour",
}  # fmt: skip
VERDICTS = {
    "pass": "resembles its history", "warn": "a thing to look at", "retrain": "the world has moved",
    "block": "broken: no training reads it",
}  # fmt: skip


def season_picture(panel: Panel, judgement: Judgement, pipeline: Pipeline) -> bytes:
    """PNG of the culprits, a panel each: grey the history, dark the partitions of its season, coloured itself."""
    import matplotlib as mpl

    drawn = _drawn(panel, judgement)
    down = -(-len(drawn) // ACROSS) or 1
    said = textwrap.wrap(judgement.reason, 128)[:2]
    head = 0.42 + 0.17 * len(said)
    with mpl.rc_context({"font.size": 8, "axes.linewidth": 0.6, "text.color": INK, "font.family": "DejaVu Sans"}):
        figure = blank_figure(9.6, down * 1.95 + head, arranged=False)
        height = figure.get_figheight()
        title = f"{judgement.partition}: {judgement.verdict}, {VERDICTS[judgement.verdict]}"
        colour = COLOURS[judgement.verdict]
        figure.text(0.012, 1 - 0.1 / height, title, va="top", fontsize=11, weight="bold", color=colour)
        figure.text(0.012, 1 - 0.34 / height, "\n".join(said), va="top", fontsize=8, color=INK)
        key = "grey: the history, dark: partitions of the same season, blue: the expected range"
        figure.text(0.985, 1 - 0.12 / height, key, va="top", ha="right", fontsize=7, color=LIKE)
        for place, culprit in enumerate(drawn, start=1):
            axes = figure.add_subplot(down, ACROSS, place)
            if culprit.statistic == "hours":
                _draw_hours(axes, panel, judgement, culprit)
            else:
                _draw_series(axes, panel, judgement, culprit, pipeline)
        figure.subplots_adjust(
            left=0.055, right=0.985, top=1 - (head + 0.22) / height, bottom=0.3 / height, wspace=0.24, hspace=0.62
        )
        return png(figure)


def _drawn(panel: Panel, judgement: Judgement) -> list[Culprit]:
    """The culprits that can be drawn, one of a column and family first; if none, what is within its range."""
    found: list[Culprit] = []
    later: list[Culprit] = []
    seen: set[tuple[str, str]] = set()
    for culprit in judgement.culprits:
        if culprit.statistic == "hours" or (_name(culprit) in panel.place and _name(culprit) not in map(_name, found)):
            (later if (culprit.column, culprit.family) in seen else found).append(culprit)
            seen.add((culprit.column, culprit.family))
    if found:
        return [*found, *later][:PANELS]
    return list(judgement.unremarkable)


def _name(culprit: Culprit) -> Name:
    statistic, _, item = culprit.statistic.partition(" ")
    return Name(column=culprit.column, statistic=statistic, item=item)


def _draw_series(axes: Axes, panel: Panel, judgement: Judgement, culprit: Culprit, pipeline: Pipeline) -> None:
    """The statistic over the history and, coloured, of the partition, with the range that was expected."""
    name = _name(culprit)
    values = panel.values[:, panel.place[name]]
    percent = kind_of(name.statistic) == "share"
    scale = 100.0 if percent else 1.0
    past = [values[panel.row[key]] * scale for key in judgement.history]
    season = season_of(pipeline.time, judgement.partition)
    like = [season_of(pipeline.time, key) == season for key in judgement.history]
    places = range(-len(past), 0)
    axes.plot(places, past, color=FAINT, linewidth=0.8, zorder=1)
    sizes, colours = [14 if same else 7 for same in like], [LIKE if same else FAINT for same in like]
    axes.scatter(places, past, s=sizes, color=colours, zorder=2)
    colour = COLOURS[culprit.level]
    if culprit.high > culprit.low:
        low, high = culprit.low * scale, culprit.high * scale
        axes.fill_between([-0.9, 0.9], low, high, color=COLOURS["pass"], alpha=0.25, linewidth=0)
    axes.scatter([0], [values[panel.row[judgement.partition]] * scale], s=42, color=colour, zorder=3)
    axes.set_xlim(-len(past) - 1, 1.6)
    axes.set_xticks([-len(past), 0], [judgement.history[0] if past else "", judgement.partition])
    first, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    _head(axes, culprit, " %" if percent else "")


def _draw_hours(axes: Axes, panel: Panel, judgement: Judgement, culprit: Culprit) -> None:
    """Rows by hour: grey what is usual, coloured what was found."""
    import numpy as np

    places = [(int(n.item), place) for n, place in panel.place.items() if n.statistic == "hour"]
    hours, columns = [hour for hour, _ in places], [place for _, place in places]
    rows = [panel.row[key] for key in judgement.history]
    usual = np.median(panel.values[np.ix_(rows, columns)], axis=0)
    axes.bar(hours, 100 * usual, width=0.9, color=FAINT)
    found = panel.values[panel.row[judgement.partition], columns]
    axes.step(hours, 100 * found, where="mid", color=COLOURS[culprit.level])
    axes.set_xticks([0, 6, 12, 18, 23])
    _head(axes, culprit, " % of rows")


def _head(axes: Axes, culprit: Culprit, unit: str) -> None:
    statistic, _, item = culprit.statistic.partition(" ")
    what = {"category": f"share of {item}", "correlation": f"correlation with {item}", "hour": f"rows at {item} h"}
    words = what.get(statistic, WORDS.get(statistic, statistic.replace("moment_p", "event time, quantile ")))
    title = f"{culprit.column}: {words}" if culprit.column else words
    axes.set_title(title[:44] + unit, loc="left", fontsize=8, pad=4)
    if culprit.family:
        axes.set_title(culprit.level, loc="right", fontsize=7, pad=4, color=COLOURS[culprit.level])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(length=2, width=0.5, color=FAINT, labelcolor=INK, labelsize=7)
    axes.locator_params(axis="y", nbins=4)
