"""Lateness: how long after its end a partition arrives, which one is late by what is usual, and which are overdue.

Usual is what like partitions took that ended while the source was watched, which it is since the first one
landed. A backfill lands years of history at once: that says nothing of the source, and alarms nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING

from perennial.time import Calendar, Monthly
from perennial.validation.seasons.judgement import history_of, season_of

if TYPE_CHECKING:
    from perennial.declaration import Pipeline
    from perennial.graph.records import PartitionRecord

CHECK = "arrives_in_time"
"""Name of the check of `landed` that tells it."""
LEAST = 3
"""Like partitions that have to have been seen to arrive: weekdays, hours of the day; of months all are alike."""
SLACK = 0.25
"""Of a partition's own length: so much later than usual is nothing."""
SPREADS = 4.0
"""Usual deviations that are nothing either."""
NORMAL = 1.4826
"""Standard deviations in a median absolute deviation of normal values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """How long after its end a partition arrives."""

    lag: timedelta
    latest: timedelta
    """Later than this is late."""
    of: int
    """Like partitions that say so."""


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """When each partition of a source first arrived."""

    calendar: Calendar
    history: int
    """How many partitions back say what is usual."""
    at: Mapping[str, datetime]

    @cached_property
    def watched_since(self) -> datetime | None:
        """When the first partition landed."""
        return min(self.at.values(), default=None)

    def lag(self, key: str) -> timedelta | None:
        """How long after its end partition `key` arrived."""
        return self.at[key] - self.calendar.window(key).end if key in self.at else None

    def usual(self, key: str) -> Usual | None:
        """How long after its end `key` should arrive, by the like partitions before it; None where too few say so.

        Also None where most of them never came: a shop that is closed on Sundays sends nothing on Sundays.
        """
        like = [each for each in self._watched_before(key) if self._season(each) == self._season(key)]
        lags = [lag.total_seconds() for each in like if (lag := self.lag(each)) is not None]
        if len(lags) < LEAST or 2 * len(lags) < len(like):
            return None
        middle = median(lags)
        spread = NORMAL * median(abs(lag - middle) for lag in lags)
        window = self.calendar.window(key)
        slack = max(SLACK * (window.end - window.start).total_seconds(), SPREADS * spread)
        return Usual(lag=timedelta(seconds=middle), latest=timedelta(seconds=middle + slack), of=len(lags))

    def is_late(self, key: str) -> bool:
        """Whether `key` arrived later than is usual."""
        usual, lag = self.usual(key), self.lag(key)
        return usual is not None and lag is not None and lag > usual.latest

    def overdue(self, now: datetime) -> dict[str, Usual]:
        """The partitions that should have arrived by `now`, with what is usual for each.

        One before the newest that arrived is not waited for: it is a gap, which trainings refuse by name.
        """
        last, newest = self.calendar.key_of(now), max(self.at, default="")
        missing = [key for key in self._watched_before(last) if key > newest]
        usual = {key: self.usual(key) for key in missing}
        return {
            key: found
            for key, found in usual.items()
            if found is not None and self.calendar.window(key).end + found.latest < now
        }

    def _watched_before(self, key: str) -> list[str]:
        """The partitions before `key`, as far back as history goes, that ended while the source was watched."""
        if self.watched_since is None:
            return []
        window = self.calendar.window(key)
        back = self.calendar.key_of(window.start - self.history * (window.end - window.start))
        first = max(back, self.calendar.key_of(self.watched_since))
        end = self.calendar.end
        return [each for each in self.calendar.keys(first, key)[:-1] if end is None or each <= end]

    def _season(self, key: str) -> int:
        if key not in self._seasons:
            self._seasons[key] = 0 if isinstance(self.calendar, Monthly) else season_of(self.calendar, key)
        return self._seasons[key]

    @cached_property
    def _seasons(self) -> dict[str, int]:
        return {}


def arrivals_of(pipeline: Pipeline, landed: Mapping[str, PartitionRecord]) -> Arrivals:
    """When the partitions of which records are given first arrived."""
    at = {key: instant for key, record in landed.items() if (instant := first_arrival([record])) is not None}
    return Arrivals(calendar=pipeline.time, history=history_of(pipeline.seasons, pipeline.time), at=at)


def first_arrival(revisions: Iterable[PartitionRecord]) -> datetime | None:
    """When the first delivery of a partition arrived, whether or not it could be read."""
    found = [record.provenance.get("arrived_at") for record in revisions]
    return min((datetime.fromisoformat(at) for at in found if at), default=None)


def problems(arrivals: Arrivals, now: datetime) -> dict[str, str]:
    """What is not in time at `now`: the partitions that are overdue, and the newest that arrived if it came late."""
    due = {key: arrivals.calendar.window(key).end + usual.latest for key, usual in arrivals.overdue(now).items()}
    found = {key: f"is overdue since {at:%Y-%m-%d %H:%M} UTC" for key, at in due.items()}
    newest = max(arrivals.at, default=None)
    if newest is not None and arrivals.is_late(newest):
        found[newest] = f"arrived {arrived_after(arrivals, newest)}"
    return found


def arrived_after(arrivals: Arrivals, key: str) -> str:
    """How long after its end `key` arrived, and what is usual, in words."""
    lag, usual = arrivals.lag(key), arrivals.usual(key)
    if lag is None:
        return "not yet"
    said = f"{told(lag)} after its end" if lag >= timedelta(0) else "before its end"
    if usual:
        return f"{said}, usually {told(usual.lag)} and {told(usual.latest)} at most"
    seen = arrivals.watched_since is not None and arrivals.calendar.window(key).end > arrivals.watched_since
    return f"{said}; too few like ones were seen to say what is usual" if seen else f"{said}, with the history"


def told(span: timedelta) -> str:
    """A span in two units at most.

    >>> told(timedelta(days=2, hours=3, minutes=20)), told(timedelta(minutes=185)), told(timedelta(days=60, hours=2))
    ('2 days 3 h', '3 h 5 min', '60 days')
    """
    hours, minutes = divmod(round(span.total_seconds() / 60), 60)
    days, hours = divmod(hours, 24)
    if days >= 14 or (days and not hours):
        return f"{days} days"
    if days:
        return f"{days} days {hours} h"
    return " ".join([f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes or not hours))
