"""Patterns: several statistics that together say one thing: another unit, columns exchanged, rows dealt out anew."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from perennial.validation.seasons.baseline import Comparison, Scores
from perennial.validation.seasons.judgement import Culprit, Verdict
from perennial.validation.seasons.panel import Name, Panel
from perennial.validation.seasons.summaries import QUANTILES, TOP

if TYPE_CHECKING:
    import numpy as np

UNIT_FACTOR = 1.4
"""Factor between all quantiles of a column from which on it has another unit."""
REPLACED = 0.5
"""Share of rows with categories that never were from which on the vocabulary was replaced."""
NEW = 0.05
"""Share of such rows from which on a model should learn the new category."""
SEEN = 0.005
"""Share of rows below which a category or hour says nothing."""
REPEATED = (0.03, 0.08)
"""Overlap with an earlier partition beyond what is usual: notable, decisive."""
LOST = 0.25
"""Correlation whose loss, while both columns look as before, says that rows were dealt out anew."""


def patterns(comparison: Comparison, single: Sequence[Culprit], scores: Scores) -> Iterator[Culprit]:
    """What the statistics outside their range say together, beside what each says by itself."""
    yield from _units(comparison.panel, single, scores)
    yield from _swapped(comparison, single)
    yield from _vocabulary(comparison)
    yield from _repeated(comparison)
    yield from _structure(single)


def _units(panel: Panel, single: Sequence[Culprit], scores: Scores) -> Iterator[Culprit]:
    """Columns whose quantiles all moved by one factor, or to where no value was."""
    at = {panel.names[int(place)]: number for number, place in enumerate(scores.places)}
    moved = {c.column for c in single if c.family in ("distribution", "validity") and c.column}
    for column in sorted(moved):
        numbers = {q: at[name] for q in QUANTILES if (name := Name(column=column, statistic=q)) in at}
        if len(numbers) < len(QUANTILES):
            continue
        found = {q: float(scores.found[n]) for q, n in numbers.items()}
        expected = {q: float(scores.expected[n]) for q, n in numbers.items()}
        factor = _common_factor(found, expected)
        apart = found["p05"] > float(scores.high[numbers["p95"]]) or found["p95"] < float(scores.low[numbers["p05"]])
        if factor is None and not apart:
            continue
        said = f"all quantiles times {factor:.3g}" if factor else "values where none were"
        middle = numbers["p50"]
        yield Culprit(
            family="units", level="block", column=column, statistic="p50", found=found["p50"],
            expected=expected["p50"], low=float(scores.low[middle]), high=float(scores.high[middle]),
            effect=(found["p50"] - expected["p50"]) / float(scores.unit[middle]), effect_unit="spreads",
            reason=f"{column}: {said} (median {found['p50']:.4g}, expected {expected['p50']:.4g})",
        )  # fmt: skip


def _common_factor(found: Mapping[str, float], expected: Mapping[str, float]) -> float | None:
    """The factor between two sets of quantiles, when there is one and it is not small."""
    ratios = [found[q] / expected[q] for q in QUANTILES if expected[q] and found[q] / expected[q] > 0]
    if len(ratios) < len(QUANTILES):
        return None
    logs = sorted(math.log(ratio) for ratio in ratios)
    middle = logs[len(logs) // 2]
    agree = logs[-1] - logs[0] <= 0.3 * abs(middle)
    return math.exp(middle) if agree and abs(middle) >= math.log(UNIT_FACTOR) else None


def _swapped(comparison: Comparison, single: Sequence[Culprit]) -> Iterator[Culprit]:
    """Pairs of columns each of which has the other's usual quantiles."""
    moved = sorted({c.column for c in single if c.family in ("distribution", "validity") and c.column})
    profiles = {column: p for column in moved if (p := _profiles(comparison, column)) is not None}
    for (first, of_first), (second, of_second) in combinations(profiles.items(), 2):
        if _stands_in(of_first, of_second):
            now, usual = float(of_first[0][2]), float(of_first[1][2])
            yield Culprit(
                family="columns", level="block", column=first, statistic="p50", found=now, expected=usual,
                low=usual, high=usual, effect=now - usual, effect_unit="of its unit",
                reason=f"{first} and {second} stand in each other's place (median of {first} {now:.4g}, "
                f"expected {usual:.4g})",
            )  # fmt: skip


def _profiles(comparison: Comparison, column: str) -> tuple[np.ndarray, np.ndarray] | None:
    import numpy as np

    values = [comparison.panel.of(column, q) for q in QUANTILES]
    if any(v is None for v in values):
        return None
    stacked = np.stack([v for v in values if v is not None])
    return stacked[:, comparison.row], np.nanmedian(stacked[:, comparison.history], axis=1)


def _stands_in(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> bool:
    import numpy as np

    (a, usual_a), (b, usual_b) = first, second
    spread = max(float(usual_a[4] - usual_a[0]), float(usual_b[4] - usual_b[0]), 1e-9)
    crossed = max(float(np.abs(a - usual_b).mean()), float(np.abs(b - usual_a).mean())) / spread
    straight = min(float(np.abs(a - usual_a).mean()), float(np.abs(b - usual_b).mean())) / spread
    return crossed < 0.1 and straight > 3 * crossed


def _vocabulary(comparison: Comparison) -> Iterator[Culprit]:
    """Categories that never were, of columns whose vocabulary is known in full."""
    import numpy as np

    panel, row, history = comparison.panel, comparison.row, comparison.history
    for column, watched in comparison.judged.items():
        distinct = panel.of(column, "distinct")
        if watched.role != "category" or distinct is None or np.nanmax(distinct[history]) > TOP:
            continue
        places = [place for name, place in panel.place.items() if (name.column, name.statistic) == (column, "category")]
        unseen = [p for p in places if np.nan_to_num(panel.values[history, p]).max() == 0 and panel.values[row, p] > 0]
        share = float(panel.values[row, unseen].sum())
        if share < SEEN:
            continue
        item = panel.names[max(unseen, key=lambda p: panel.values[row, p])].item
        level: Verdict = "block" if share >= REPLACED else "retrain" if share >= NEW and watched.feeds_model else "warn"
        yield Culprit(
            family="vocabulary" if level == "block" else "mix", level=level, column=column,
            statistic=f"category {item}", found=share, expected=0.0, low=0.0, high=0.0, effect=share,
            effect_unit="of rows", reason=f"{column}: {share:.1%} of the rows hold what never was, such as {item!r}",
        )  # fmt: skip


def _repeated(comparison: Comparison) -> Iterator[Culprit]:
    """Rows that an earlier partition had, beyond what partitions share anyway."""
    panel, history = comparison.panel, comparison.history
    now = panel.sketches[comparison.row]
    if len(now) < 32:
        return
    shared = {int(other): _overlap(now, panel.sketches[other]) for other in history}
    recent = [int(other) for other in history[-8:]]
    usual = max(
        (_overlap(panel.sketches[a], panel.sketches[b]) for n, a in enumerate(recent) for b in recent[:n]), default=0.0
    )
    most = max(shared, key=lambda other: shared[other])
    beyond = shared[most] - usual
    if beyond < REPEATED[0]:
        return
    share = 2 * shared[most] / (1 + shared[most])
    yield Culprit(
        family="repetition", level="block" if beyond >= REPEATED[1] else "warn", column="", statistic="overlap",
        found=share, expected=2 * usual / (1 + usual), low=0.0, high=2 * usual / (1 + usual), effect=beyond,
        effect_unit="of rows", reason=f"about {share:.0%} of the rows are those of {panel.partitions[most]}",
    )  # fmt: skip


def _overlap(first: frozenset[float], second: frozenset[float]) -> float:
    """Jaccard similarity of two sets of rows, estimated by their smallest hashes (Broder 1997)."""
    size = min(len(first), len(second))
    smallest = sorted(first | second)[:size]
    return sum(value in first and value in second for value in smallest) / size if size else 0.0


def _structure(single: Sequence[Culprit]) -> Iterator[Culprit]:
    """Correlations lost between columns that look as before: rows were dealt out anew."""
    moved = {c.column for c in single if c.family in ("distribution", "completeness", "stuck", "validity", "precision")}
    for culprit in single:
        if culprit.family != "relation":
            continue
        other = culprit.statistic.removeprefix("correlation ")
        lost = abs(culprit.found) < abs(culprit.expected) and abs(culprit.effect) >= LOST
        if lost and not {culprit.column, other} & moved:
            yield replace(culprit, family="structure", level="block")
