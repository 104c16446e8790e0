"""Clocks: hours that are moved, and hours in which nothing was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from perennial.validation.seasons.baseline import MOMENTS, Comparison
from perennial.validation.seasons.judgement import Culprit
from perennial.validation.seasons.panel import Panel

if TYPE_CHECKING:
    import numpy as np

DAY = 24
SILENT = 0.1
"""Share of a partition's rows that its silent hours usually hold, from which on it blocks."""
LIVELY = 0.1
"""An hour is silent with less than this share of its usual rows."""
EARLY = 0.4
"""Hours by which every moment of the day must have moved alike."""


def clock_culprits(comparison: Comparison, single: Sequence[Culprit]) -> Iterator[Culprit]:
    """Moved hours or, where there are none, silent ones."""
    panel, row, history, seasons = comparison.panel, comparison.row, comparison.history, comparison.seasons
    hours = _hours(panel)
    if not hours:
        return
    now, past = panel.values[row, hours], panel.values[history][:, hours]
    like = past[seasons[:-1] == seasons[-1]]
    usual = (like if len(like) >= 3 else past).mean(axis=0)
    names = [int(panel.names[place].item) for place in hours]
    silent = _silent(now, usual, names, float(panel.counts[row, hours].max()))
    found = _moved(now, usual, past, names) or silent or _moved_alike(single)
    if found:
        yield found


def _hours(panel: Panel) -> list[int]:
    return [place for name, place in panel.place.items() if name.statistic == "hour"]


def _moved(now: np.ndarray, usual: np.ndarray, past: np.ndarray, names: Sequence[int]) -> Culprit | None:
    """A whole number of hours by which the day fits its usual shape far better."""
    import numpy as np

    def around(shares: np.ndarray) -> np.ndarray:
        clock = np.zeros(DAY)
        clock[list(names)] = shares
        return clock

    found, expected = around(now), around(usual)
    apart = {lag: 0.5 * float(np.abs(found - np.roll(expected, lag)).sum()) for lag in range(-11, 13)}
    best = min(apart, key=lambda lag: (apart[lag], abs(lag)))
    ordinary = float(np.quantile(0.5 * np.abs(past - usual).sum(axis=1), 0.95))
    if best == 0 or apart[0] < max(1.5 * ordinary, 0.1) or apart[best] > 0.6 * apart[0]:
        return None
    return _culprit(float(best), apart[0], f"the day lies {best:+d} h from where it usually is")


def _moved_alike(single: Sequence[Culprit]) -> Culprit | None:
    """Moments of the day that moved together by less than an hour, or a day that is no clock's round."""
    moved = [c.found - c.expected for c in single if c.statistic in MOMENTS]
    if len(moved) < 3 or min(moved) * max(moved) <= 0:
        return None
    sizes = sorted(abs(each) for each in moved)
    if sizes[0] < EARLY or sizes[-1] > DAY / 2 or sizes[-1] - sizes[0] > 0.5 * sizes[len(sizes) // 2]:
        return None
    by = sizes[len(sizes) // 2] * (1 if moved[0] > 0 else -1)
    return _culprit(by, by, f"the whole day lies {by:+.1f} h from where it usually is")


def _silent(now: np.ndarray, usual: np.ndarray, names: Sequence[int], rows: float) -> Culprit | None:
    """Hours that usually have rows and now have none."""
    silent = [n for n in range(len(names)) if usual[n] * rows >= 5 and now[n] < LIVELY * usual[n]]
    share = float(usual[silent].sum())
    if share < SILENT / 2:
        return None
    listed = ", ".join(f"{names[n]:02d}" for n in silent)
    return Culprit(
        family="coverage", level="block" if share >= SILENT else "warn", column="", statistic="hours",
        found=float(now[silent].sum()), expected=share, low=share, high=share, effect=-share, effect_unit="of rows",
        reason=f"hours {listed} are silent, which usually hold {share:.0%} of the rows",
    )  # fmt: skip


def _culprit(by: float, effect: float, reason: str) -> Culprit:
    return Culprit(
        family="clock", level="block", column="", statistic="hours", found=by, expected=0.0, low=0.0, high=0.0,
        effect=effect, effect_unit="hours" if by == effect else "of rows", reason=reason,
    )  # fmt: skip
