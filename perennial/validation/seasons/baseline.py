"""Baseline: what each statistic of a partition should be, by its history of like partitions, and how far it is off.

The centre is the median of like partitions (of the same weekday, hour or month), moved by the recent
level where that has predicted better. The scale is the robust spread of what this rule would have
missed in the history, shrunk towards a practical least one (a moderated t, Smyth 2004), never below
sampling error. Šidák's level makes all statistics of a partition together raise `alpha` false alarms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.validation.seasons.panel import Panel
from perennial.validation.seasons.summaries import QUANTILES

if TYPE_CHECKING:
    import numpy as np

    from perennial.validation.seasons.summaries import Watched

    Array = np.ndarray[Any, Any]

SHARES = ("nulls", "far", "negative", "zero", "commonest", "whole", "category", "hour", "duplicates", "quarantined")
COUNTS = ("rows", "distinct")
TIMES = ("gap", "first", "last")
MOMENTS = tuple(f"moment_{name}" for name in QUANTILES)
LEAST_SPREAD = {"share": 0.005, "count": 0.02, "time": 0.2, "correlation": 0.01, "value": 0.01}
"""By kind, on its own scale: partitions differ at least so much."""
CHANCE = {"p05": 2.11, "p25": 1.36, "p50": 1.25, "p75": 1.36, "p95": 2.11}
"""Sampling error of a quantile of normal values, in spreads over the root of the count."""
PRIOR_WEIGHT = 8.0
"""How many partitions of history the assumed spread is worth."""
MEDIAN = 1.57
"""Variance of a median of normal values, in variances of a mean."""
FEW = 5
"""Statistics of one name from which on they tell the usual spread among themselves."""
TYPICAL = 0.5
"""Quantile, over the statistics of a kind, of the spread that is assumed of each until its own history tells."""
TRIMMED = 0.04
"""Share of the history's largest misses that do not widen the expected range."""
BEYOND = 1.25
"""How far beyond the history's largest miss the expected range reaches: the next record is a little larger."""


def kind_of(statistic: str) -> str:
    """On which scale a statistic is compared."""
    for kind, names in (("share", SHARES), ("count", COUNTS), ("time", TIMES)):
        if statistic in names:
            return kind
    return "correlation" if statistic == "correlation" else "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Of each chosen statistic: what was found, what was expected, and how surprising that is."""

    places: Array
    found: Array
    expected: Array
    low: Array
    high: Array
    surprise: Array
    """Distance from the centre in half-widths of the expected range: above 1 is an alarm."""
    unit: Array
    """What one natural unit of effect is: the spread of the column's own values for `value`, else 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is held against what."""

    panel: Panel
    row: int
    """The partition that is judged."""
    history: Array
    """Rows of the partitions before it, oldest first."""
    seasons: Array
    """The season of each of the history, and last its own."""
    judged: Mapping[str, Watched]
    """By name: the columns that are looked at."""


def score(comparison: Comparison, *, places: Array, level: int, alpha: float) -> Scores:
    """How surprising the statistics `places` of a partition are; `level` recent ones make the level."""
    import numpy as np
    from scipy import stats

    panel, history, seasons = comparison.panel, comparison.history, comparison.seasons
    rows = np.append(history, comparison.row)
    values, counts = panel.values[np.ix_(rows, places)], panel.counts[np.ix_(rows, places)]
    kinds = np.array([kind_of(panel.names[place].statistic) for place in places])
    alike = np.array([panel.names[place].statistic for place in places])
    unit, centre = _units(panel, history, places)
    x, error = _scaled(values, counts, kinds, (unit, centre), _chances(panel, places))
    now, past = x[-1], _filled(x[:-1])
    expected, misses, known, groups = _predict(past, seasons, level)
    spread = np.maximum(1.4826 * np.median(misses, axis=0), np.quantile(misses, 0.9, axis=0) / 1.645)
    freedom = max(known - groups, 1.0)
    moderated = (PRIOR_WEIGHT * _usual_spread(spread, kinds, alike) ** 2 + freedom * spread**2) / (
        PRIOR_WEIGHT + freedom
    )
    chance = np.median(error[:-1], axis=0) ** 2
    variance = np.maximum(moderated + np.maximum(error[-1] ** 2 - chance, 0.0), error[-1] ** 2 + chance / 5)
    critical = stats.t.isf((1 - (1 - alpha) ** (1 / len(places))) / 2, PRIOR_WEIGHT + freedom)
    half = np.maximum(critical * np.sqrt(variance * (1 + MEDIAN / known)), _extreme(misses))
    back = [_natural(v, kinds, unit, centre) for v in (expected, expected - half, expected + half)]
    with np.errstate(invalid="ignore", divide="ignore"):
        surprise = np.nan_to_num(np.abs(now - expected) / half, nan=0.0)
    return Scores(
        places=places, found=values[-1], expected=back[0], low=back[1], high=back[2], surprise=surprise, unit=unit
    )


def _usual_spread(spread: Array, kinds: Array, alike: Array) -> Array:
    """The spread that a statistic of this name usually has, over all columns."""
    import numpy as np

    usual = np.array([LEAST_SPREAD[kind] for kind in kinds])
    for name in set(alike.tolist()):
        same = alike == name if (alike == name).sum() >= FEW else kinds == kinds[alike == name][0]
        usual[alike == name] = np.maximum(usual[alike == name], np.quantile(spread[same], TYPICAL))
    return usual


def _filled(past: Array) -> Array:
    """What a past partition lacked is taken to have been as usual."""
    import numpy as np

    lacking = np.isnan(past)
    if not lacking.any():
        return past
    usual = np.ma.median(np.ma.masked_array(past, lacking), axis=0).filled(0.0)  # type: ignore[no-untyped-call]
    filled: Array = np.where(lacking, usual, past)
    return filled


def _predict(past: Array, seasons: Array, level: int) -> tuple[Array, Array, int, int]:
    """What is expected next, what the same rule would have missed in the past, how often that was, and the seasons."""
    import numpy as np

    centre, left_out, groups = _seasonal(past, seasons)
    misses = past - left_out
    if len(past) < 3 * level:
        return centre, np.abs(misses), len(past), groups
    moved = np.stack([misses[n] - np.median(misses[n - level : n], axis=0) for n in range(level, len(past))])
    better = np.median(np.abs(moved), axis=0) < 0.9 * np.median(np.abs(misses[level:]), axis=0)
    recent = np.median(misses[-level:], axis=0)
    missed = np.abs(np.where(better, moved, misses[level:]))
    return centre + np.where(better, recent, 0.0), missed, len(missed), groups


def _seasonal(past: Array, seasons: Array) -> tuple[Array, Array, int]:
    """The median of the next one's season, for each of the past that of its own without it, and how many seasons.

    A season of which there are fewer than three is none: all of the past counts.
    """
    import numpy as np

    own = seasons[:-1]
    groups = own if (own == seasons[-1]).sum() >= 3 else np.zeros_like(own)
    left_out = _medians_without(past)
    for season in set(groups.tolist()):
        like = groups == season
        if like.sum() >= 3:
            left_out[like] = _medians_without(past[like])
    centre = np.median(past[groups == (seasons[-1] if groups is own else 0)], axis=0)
    return centre, left_out, len(set(groups.tolist()))


def _medians_without(rows: Array) -> Array:
    """For each of three rows or more, column by column, the median of the others."""
    import numpy as np

    ordered, rank = np.sort(rows, axis=0), rows.argsort(axis=0).argsort(axis=0)
    others = len(rows) - 1
    middle: Array = np.zeros_like(rows)
    for place in {(others - 1) // 2, others // 2}:
        middle += np.take_along_axis(ordered, place + (rank <= place), axis=0)
    return middle / len({(others - 1) // 2, others // 2})


def _extreme(misses: Array) -> Array:
    """Somewhat beyond the largest miss of the history, but for the trimmed."""
    import numpy as np

    ordered = np.sort(misses, axis=0)
    largest: Array = BEYOND * ordered[-1 - int(TRIMMED * len(ordered))]
    return largest


def _units(panel: Panel, history: Array, places: Array) -> tuple[Array, Array]:
    """Of each statistic of values: the spread of the column's values and their middle; 1 and 0 for others."""
    import numpy as np

    unit, centre = np.ones(len(places)), np.zeros(len(places))
    known: dict[tuple[str, str], tuple[float, float]] = {}
    for number, place in enumerate(places):
        name = panel.names[place]
        if kind_of(name.statistic) == "value":
            prefix = "moment_" if name.statistic.startswith("moment_") else ""
            if (name.column, prefix) not in known:
                known[name.column, prefix] = _spread_of(panel, history, name.column, prefix)
            unit[number], centre[number] = known[name.column, prefix]
    return unit, centre


def _spread_of(panel: Panel, history: Array, column: str, prefix: str) -> tuple[float, float]:
    import numpy as np

    quantiles = {q: panel.of(column, prefix + q) for q in QUANTILES}
    if any(values is None for values in quantiles.values()):
        return 1.0, 0.0
    with np.errstate(invalid="ignore"):
        p = {q: float(np.nanmedian(values[history])) for q, values in quantiles.items() if values is not None}
    spread = max((p["p75"] - p["p25"]) / 1.349, (p["p95"] - p["p05"]) / 3.29, 0.1 * abs(p["p50"]))
    return (spread if np.isfinite(spread) and spread > 0 else 1.0), (p["p50"] if np.isfinite(p["p50"]) else 0.0)


def _chances(panel: Panel, places: Array) -> Array:
    """Factor on 1 / sqrt(count) for the sampling error of a statistic of values."""
    import numpy as np

    return np.array([CHANCE.get(panel.names[place].statistic.removeprefix("moment_"), 1.0) for place in places])


def _scaled(
    values: Array, counts: Array, kinds: Array, centred: tuple[Array, Array], chances: Array
) -> tuple[Array, Array]:
    """Values on a scale where chance has one size whatever the value, and that size."""
    import numpy as np

    unit, centre = centred
    root = np.sqrt(np.maximum(counts, 1.0))
    x, error = (values - centre) / unit, chances / root
    of = {kind: np.flatnonzero(kinds == kind) for kind in LEAST_SPREAD}
    x[:, of["share"]] = np.arcsin(np.sqrt(values[:, of["share"]].clip(0, 1)))
    error[:, of["share"]] = 0.5 / root[:, of["share"]]
    x[:, of["count"]] = np.log(values[:, of["count"]].clip(min=0.5))
    error[:, of["count"]] = 1 / np.sqrt(values[:, of["count"]].clip(min=1.0))
    x[:, of["time"]] = np.log(values[:, of["time"]].clip(min=0) + TIME_GRAIN)
    error[:, of["time"]] = 0.0
    x[:, of["correlation"]] = np.arctanh(values[:, of["correlation"]].clip(-0.999, 0.999))
    error[:, of["correlation"]] = 1.06 / root[:, of["correlation"]]
    return x, np.nan_to_num(error)


def _natural(x: Array, kinds: Array, unit: Array, centre: Array) -> Array:
    """Back from the scale of `_scaled`."""
    import numpy as np

    back = x * unit + centre
    for kind, turn in (
        ("share", lambda v: np.sin(v.clip(0, np.pi / 2)) ** 2),
        ("count", np.exp),
        ("time", lambda v: np.maximum(np.exp(v) - TIME_GRAIN, 0.0)),
        ("correlation", np.tanh),
    ):
        back[kinds == kind] = turn(x[kinds == kind])
    return back


TIME_GRAIN = 0.05
"""Hours below which spans of time are not told apart."""
