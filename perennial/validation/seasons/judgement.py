"""Seasons: whether a partition resembles its history of like partitions, and what to do where it does not.

Broken data blocks training on it; a world that has moved asks for a model that knows it. Which is
which is decided by `perennial.validation.seasons.diagnoses`, in named families.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from perennial.time import Calendar, Hourly, Monthly

if TYPE_CHECKING:
    import numpy as np

    from perennial.validation.seasons.baseline import Comparison
    from perennial.validation.seasons.panel import Panel
    from perennial.validation.seasons.summaries import Watched

Verdict = Literal["pass", "warn", "retrain", "block"]
ORDER: tuple[Verdict, ...] = ("pass", "warn", "retrain", "block")
SAID = 3
"""Culprits that the reason of a verdict names."""
LEAST_HISTORY = 3
"""Fewer partitions have no spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seasons:
    """How a partition is held against the like partitions before it."""

    history: int | None = None
    """Partitions looked back at; None: 8 weeks of days, 3 years of months, 2 weeks of hours."""
    min_history: int | None = None
    """Fewer say nothing, and the partition passes with a note; None: 14 days, 3 months, 48 hours."""
    false_alarms: float = 0.01
    """Share of unremarkable partitions in which any statistic may lie outside its expected range."""
    ignore: tuple[str, ...] = ()
    """Columns that move without meaning, such as the weather: they are summarized and not judged."""

    def misfits(self, columns: Sequence[str]) -> Iterator[tuple[str, object, str]]:
        """Each field that cannot be meant: its name, what was found, what was expected."""
        if self.history is not None and self.history < 1:
            yield "history", self.history, "at least 1 partition, or None"
        if self.min_history is not None and self.min_history < LEAST_HISTORY:
            yield "min_history", self.min_history, f"at least {LEAST_HISTORY} partitions, or None"
        if self.history is not None and self.min_history is not None and self.min_history > self.history:
            yield "min_history", self.min_history, f"at most history ({self.history})"
        if not 0 < self.false_alarms < 1:
            yield "false_alarms", self.false_alarms, "0 < false_alarms < 1"
        for name in self.ignore:
            if name not in columns:
                yield "ignore", name, f"a declared column ({', '.join(columns)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """One way in which a partition does not resemble its history."""

    family: str
    """A name of `perennial.validation.seasons.diagnoses.FAMILIES`."""
    level: Verdict
    column: str
    """Empty for the partition as a whole."""
    statistic: str
    found: float
    expected: float
    low: float
    high: float
    effect: float
    """How much it is off, in `effect_unit`."""
    effect_unit: str
    reason: str
    """In words, with its numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is thought of one partition, and why."""

    partition: str
    verdict: Verdict
    reason: str
    culprits: tuple[Culprit, ...] = ()
    """The worst first."""
    unremarkable: tuple[Culprit, ...] = ()
    """What to show of one that passes: statistics within their range."""
    history: tuple[str, ...] = ()
    """The partitions that it was held against, oldest first."""
    statistics: int = 0
    """How many were compared."""


def history_of(seasons: Seasons, calendar: Calendar) -> int:
    """How many partitions back a judgement looks."""
    return seasons.history or _by_calendar(calendar, day=56, month=36, hour=336)


def min_history_of(seasons: Seasons, calendar: Calendar) -> int:
    """How many partitions a judgement needs."""
    return seasons.min_history or _by_calendar(calendar, day=14, month=3, hour=48)


def level_of(calendar: Calendar) -> int:
    """How many recent partitions make the level."""
    return _by_calendar(calendar, day=7, month=3, hour=24)


def season_of(calendar: Calendar, key: str) -> int:
    """Which partitions are alike: those of one weekday, month of the year, or hour of the day.

    >>> from perennial.time import Daily
    >>> season_of(Daily(start="2024-01-01", event_time="at"), "2024-01-01")
    0
    """
    start = calendar.window(key).start.astimezone(calendar.zone) + timedelta(hours=12 * (calendar.every == "1d"))
    if isinstance(calendar, Hourly):
        return start.hour
    return start.month - 1 if isinstance(calendar, Monthly) else start.weekday()


def judge(
    panel: Panel,
    key: str,
    known: Sequence[str],
    *,
    columns: Sequence[Watched],
    calendar: Calendar,
    seasons: Seasons,
) -> Judgement:
    """The verdict on partition `key` of `panel`, by those of the partitions `known` that lie before it."""
    before = [each for each in known if each < key and each in panel.row][-history_of(seasons, calendar) :]
    needed = min_history_of(seasons, calendar)
    if len(before) < needed:
        return Judgement(
            partition=key,
            verdict="pass",
            reason=f"not enough history: {len(before)} partitions before it, needs {needed}",
            history=tuple(before),
        )
    if key not in panel.row:
        reason = f"volume: it has no rows; each of the {len(before)} partitions before it had some"
        return Judgement(partition=key, verdict="block", reason=reason, history=tuple(before))
    return _against(panel, key, before, columns=columns, calendar=calendar, seasons=seasons)


def _against(
    panel: Panel,
    key: str,
    before: Sequence[str],
    *,
    columns: Sequence[Watched],
    calendar: Calendar,
    seasons: Seasons,
) -> Judgement:
    """The verdict on partition `key` of `panel`, compared with those `before`, which are enough."""
    import numpy as np

    from perennial.validation.seasons.baseline import Comparison, score
    from perennial.validation.seasons.diagnoses import diagnose, unremarkable

    comparison = Comparison(
        panel=panel,
        row=panel.row[key],
        history=np.array([panel.row[each] for each in before]),
        seasons=np.array([season_of(calendar, each) for each in (*before, key)]),
        judged={column.name: column for column in columns if column.name not in seasons.ignore},
    )
    places = _comparable(comparison)
    scores = score(comparison, places=places, level=level_of(calendar), alpha=seasons.false_alarms)
    culprits = diagnose(comparison, scores)
    verdict: Verdict = max((culprit.level for culprit in culprits), key=ORDER.index, default="pass")
    return Judgement(
        partition=key,
        verdict=verdict,
        reason=_said(culprits, len(before)),
        culprits=culprits,
        unremarkable=() if culprits else unremarkable(comparison, scores),
        history=tuple(before),
        statistics=len(places),
    )


def _comparable(comparison: Comparison) -> np.ndarray:
    """The statistics that this partition has and most of its history had."""
    import numpy as np

    from perennial.validation.seasons.diagnoses import worth_comparing

    values = comparison.panel.values
    past = np.isfinite(values[comparison.history]).mean(axis=0) >= 0.5
    return np.flatnonzero(np.isfinite(values[comparison.row]) & past & worth_comparing(comparison))


def _said(culprits: Sequence[Culprit], history: int) -> str:
    if not culprits:
        return f"resembles the {history} partitions before it"
    worst: dict[tuple[str, str], str] = {}  # the first of a family and column: its others mostly say the same
    for culprit in culprits:
        if culprit.level == culprits[0].level:
            worst.setdefault((culprit.family, culprit.column), f"{culprit.family}: {culprit.reason}")
    said = list(worst.values())[:SAID]
    more = f"; and {len(culprits) - len(said)} more" if len(culprits) > len(said) else ""
    return "; ".join(said) + more


def _by_calendar(calendar: Calendar, *, day: int, month: int, hour: int) -> int:
    if isinstance(calendar, Monthly):
        return month
    return hour if isinstance(calendar, Hourly) else day
