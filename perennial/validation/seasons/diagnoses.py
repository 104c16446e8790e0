"""Diagnoses: what a statistic outside its expected range means: broken data, a moved world, or a thing to look at.

Broken (`block`): volume, completeness, uniqueness, repetition, stuck, validity, units, columns,
vocabulary, structure, clock, coverage. The world (`retrain`): distribution, mix, relation. Everything
else, and small effects of all, warns. A shift in columns that no feature reads warns too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.validation.seasons.baseline import COUNTS, MOMENTS, Comparison, Scores, kind_of
from perennial.validation.seasons.clocks import clock_culprits
from perennial.validation.seasons.judgement import ORDER, Culprit, Verdict
from perennial.validation.seasons.panel import Name, Panel
from perennial.validation.seasons.patterns import SEEN, patterns
from perennial.validation.seasons.summaries import QUANTILES

if TYPE_CHECKING:
    import numpy as np

    from perennial.validation.seasons.summaries import Watched

FAMILIES: Mapping[str, str] = {
    "volume": "far fewer or more rows than usual",
    "completeness": "values are missing",
    "uniqueness": "rows share their key",
    "repetition": "rows of an earlier partition come again",
    "stuck": "one value took the place of many",
    "validity": "values far out, below zero or at zero where there were none",
    "units": "all quantiles moved by one factor, or beyond all that was seen",
    "columns": "two columns stand in each other's place",
    "vocabulary": "categories were replaced by others",
    "structure": "columns no longer belong together, though each looks as before",
    "clock": "the hours are moved",
    "coverage": "hours without rows",
    "quarantine": "more rows than usual were not accepted",
    "precision": "values are rounded",
    "distribution": "the values of a number have moved",
    "mix": "the shares of categories or hours have moved",
    "relation": "two numbers go together more, or less",
}
"""What each family claims."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Least:
    """From which effect on a family says something."""

    notable: float
    decisive: float = math.inf
    level: Verdict = "block"


LEAST: Mapping[str, Least] = {
    "volume": Least(notable=0.1, decisive=math.log(1.6)),
    "completeness": Least(notable=0.01, decisive=0.1),
    "uniqueness": Least(notable=0.005, decisive=0.05),
    "stuck": Least(notable=0.02, decisive=0.2),
    "validity": Least(notable=0.002, decisive=0.03),
    "quarantine": Least(notable=0.01),
    "precision": Least(notable=0.5),
    "distribution": Least(notable=0.05, decisive=0.2, level="retrain"),
    "mix": Least(notable=0.02, decisive=0.05, level="retrain"),
    "relation": Least(notable=0.1, decisive=0.2, level="retrain"),
    "coverage": Least(notable=0.5),
}
"""Effects in shares, logarithms of a ratio (volume, precision), spreads of the column, correlation, or hours."""
OF_STATISTIC: Mapping[str, str] = {
    "rows": "volume", "nulls": "completeness", "duplicates": "uniqueness", "quarantined": "quarantine",
    "commonest": "stuck", "zero": "stuck", "far": "validity", "negative": "validity", "distinct": "precision",
    "whole": "precision", "category": "mix", "hour": "mix", "correlation": "relation",
    "gap": "coverage", "first": "coverage", "last": "coverage",
}  # fmt: skip
RISES_ONLY = ("duplicates", "quarantined", "far", "negative", "commonest", "zero")
IN_WORDS = {"p50": "median", **{f"p{share:02d}": f"{share} % quantile" for share in (5, 25, 75, 95)}}
"""Statistics whose names are short for a person."""
SHARED = 12
"""Categories of a column that are judged one by one: the most frequent of its history."""
TIED = 0.2
"""From this share of one value on, quantiles jump for nothing, and the mean stands for them."""
FEW = 20
"""Distinct values up to which quantiles jump for nothing."""
COLLAPSED = math.log(20)
"""Factor, as a logarithm, by which distinct values become fewer when a value is stuck rather than rounded."""
IMPLAUSIBLE = 10.0
"""Spreads of a column by which the world does not move a quantile from one partition to the next."""
MOST_MISSING = 0.5
"""Further share of missing values from which on a column blocks in which they are declared to be nothing unusual."""


def worth_comparing(comparison: Comparison) -> np.ndarray:
    """Which statistics say something of the judged columns: a quantile of tied values and a rare category do not."""
    import numpy as np

    panel, history, judged = comparison.panel, comparison.history, comparison.judged
    tied = {name for name in judged if _is_tied(panel, history, name)}
    frequent = _frequent(panel, history, judged)
    chosen = [
        _worth(name, judged, tied, frequent, kept)
        for name, kept in zip(panel.names, np.nan_to_num(panel.values[history]).max(axis=0), strict=True)
    ]
    return np.array(chosen)


def _worth(name: Name, judged: Mapping[str, Watched], tied: set[str], frequent: set[Name], most: float) -> bool:
    if name.column and name.column not in judged:
        return False
    listed: dict[str, bool] = {
        "category": name in frequent,
        "correlation": name.item in judged,
        "negative": most < SEEN,
        "zero": most < SEEN or name.column not in tied,
        "middle": name.column in tied,
        "hour": most >= SEEN,
    }
    return listed.get(name.statistic, name.statistic not in QUANTILES or name.column not in tied)


def _is_tied(panel: Panel, history: np.ndarray, column: str) -> bool:
    import numpy as np

    commonest, distinct = panel.of(column, "commonest"), panel.of(column, "distinct")
    if commonest is None or distinct is None:
        return False
    common, many = commonest[history], distinct[history]
    if not np.isfinite(common).any():
        return True
    return bool(np.nanmedian(common) >= TIED or np.nanmedian(many) <= FEW)


def _frequent(panel: Panel, history: np.ndarray, judged: Mapping[str, Watched]) -> set[Name]:
    """The most frequent categories of each column whose values are categories rather than measurements."""
    import numpy as np

    by_column: dict[str, list[tuple[float, Name]]] = {}
    for name, place in panel.place.items():
        if name.statistic == "category" and name.column in judged:
            share = float(np.nan_to_num(panel.values[history, place]).mean())
            by_column.setdefault(name.column, []).append((share, name))
    found: set[Name] = set()
    for column, ranked in by_column.items():
        if judged[column].role == "category" or _is_tied(panel, history, column):
            found |= {name for share, name in sorted(ranked, key=lambda r: -r[0])[:SHARED] if share >= SEEN}
    return found


def diagnose(comparison: Comparison, scores: Scores) -> tuple[Culprit, ...]:
    """What is wrong, the worst first; what a named pattern explains is not told again."""
    panel, judged = comparison.panel, comparison.judged
    single = [c for number in _surprising(scores) if (c := _single(panel, scores, number, judged))]
    named = [*patterns(comparison, single, scores), *clock_culprits(comparison, single)]
    found = [*named, *(culprit for culprit in single if not _is_explained(culprit, named, single))]
    return tuple(sorted(found, key=lambda c: (-ORDER.index(c.level), -abs(c.effect), c.column, c.statistic)))


def _is_explained(culprit: Culprit, named: Sequence[Culprit], single: Sequence[Culprit]) -> bool:
    """Whether what one statistic says follows from a pattern, or from the number of rows."""
    if culprit.family == "relation":
        return any(("structure", culprit.column, culprit.statistic) == (n.family, n.column, n.statistic) for n in named)
    if culprit.statistic == "distinct":
        return any(other.family == "volume" and other.effect * culprit.effect > 0 for other in single)
    of = {n.column for n in named if n.family in ("units", "columns")}
    return culprit.column in of and culprit.statistic in QUANTILES


def unremarkable(comparison: Comparison, scores: Scores) -> tuple[Culprit, ...]:
    """What to show of a partition that passes: rows, the middle and the end of its last column, the most surprising."""
    last = [*comparison.judged][-1]
    shown = [Name(column="", statistic="rows"), *(Name(column=last, statistic=q) for q in ("p50", "p95"))]
    at = {comparison.panel.names[int(place)]: number for number, place in enumerate(scores.places)}
    numbers = [at[name] for name in shown if name in at]
    numbers += [n for n in (-scores.surprise).argsort().tolist() if n not in numbers][: 6 - len(numbers)]
    return tuple(_told(comparison.panel, scores, number, "", "pass") for number in numbers)


def _surprising(scores: Scores) -> Iterator[int]:
    yield from (int(number) for number in (scores.surprise > 1).nonzero()[0])


def _single(panel: Panel, scores: Scores, number: int, judged: Mapping[str, Watched]) -> Culprit | None:
    """What one statistic outside its range says by itself, or None when it is too little to matter."""
    name = panel.names[int(scores.places[number])]
    found, expected = float(scores.found[number]), float(scores.expected[number])
    if found < expected and name.statistic in RISES_ONLY:
        return None
    family = OF_STATISTIC.get(name.statistic, "distribution" if name.statistic not in MOMENTS else "mix")
    effect, _ = _effect(name, found, expected, float(scores.unit[number]))
    if family == "distribution" and abs(effect) >= IMPLAUSIBLE:
        family = "validity"
    if name.statistic == "distinct" and effect < -COLLAPSED:
        family = "stuck"
    least = LEAST[family]
    if abs(effect) < (LEAST["distribution"].notable if name.statistic in MOMENTS else least.notable):
        return None
    return _told(panel, scores, number, family, _level(name, family, effect, judged))


def _told(panel: Panel, scores: Scores, number: int, family: str, level: Verdict) -> Culprit:
    name = panel.names[int(scores.places[number])]
    found, expected = float(scores.found[number]), float(scores.expected[number])
    low, high = float(scores.low[number]), float(scores.high[number])
    effect, effect_unit = _effect(name, found, expected, float(scores.unit[number]))
    return Culprit(
        family=family,
        level=level,
        column=name.column,
        statistic=name.statistic + (f" {name.item}" if name.item else ""),
        found=found,
        expected=expected,
        low=low,
        high=high,
        effect=effect,
        effect_unit=effect_unit,
        reason=_reason(name, found, low, high),
    )


def _effect(name: Name, found: float, expected: float, unit: float) -> tuple[float, str]:
    kind = kind_of(name.statistic)
    if kind == "count":
        return math.log(max(found, 0.5) / max(expected, 0.5)), "log ratio"
    if kind == "value":
        return (found - expected) / unit, "spreads"
    return found - expected, {"share": "of rows", "time": "hours", "correlation": "correlation"}[kind]


def _level(name: Name, family: str, effect: float, judged: Mapping[str, Watched]) -> Verdict:
    least = LEAST[family]
    decisive = least.decisive
    if family == "completeness" and (effect < 0 or (judged[name.column].nullable and effect < MOST_MISSING)):
        return "warn"
    if name.statistic in MOMENTS:
        decisive = LEAST["distribution"].decisive
    if abs(effect) < decisive:
        return "warn"
    feeds = not name.column or (judged[name.column].feeds_model)
    return least.level if least.level == "block" or feeds else "warn"


def _reason(name: Name, found: float, low: float, high: float) -> str:
    what = " ".join(filter(None, [name.statistic, name.item]))
    of = f"{name.column}: " if name.column else ""
    if kind_of(name.statistic) == "share":
        return f"{of}{what} {found:.2%} of rows, expected {low:.2%} to {high:.2%}"
    if name.statistic in COUNTS:
        return f"{of}{found:,.0f} {what}, expected {low:,.0f} to {high:,.0f}"
    return f"{of}{IN_WORDS.get(what, what)} {found:.4g}, expected {low:.4g} to {high:.4g}"
