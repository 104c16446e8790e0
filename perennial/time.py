"""Time: how a pipeline's history is cut into partitions, and when each could be known.

Partitions follow the local calendar of the declared timezone; every instant that leaves this module
is aware and in UTC. Nothing here reads the clock.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

import polars as pl

from perennial.wall_clock import instants, wall_times


def days(count: float) -> timedelta:
    """A span of `count` days."""
    return timedelta(days=count)


def hours(count: float) -> timedelta:
    """A span of `count` hours."""
    return timedelta(hours=count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A half-open span of time, `start <= t < end`, both in UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """Consecutive partitions of local time, named by a sortable key.

    >>> Daily(start="2024-02-28", event_time="at", timezone="UTC").keys("2024-02-28", "2024-03-01")
    ['2024-02-28', '2024-02-29', '2024-03-01']
    """

    start: str
    """Key of the first partition."""
    event_time: str
    """Column that says when a row happened, as wall-clock time in `timezone`."""
    timezone: str = "UTC"
    known_after: timedelta = timedelta(0)
    """How long after a partition's end its rows can be known."""
    end: str | None = None
    """Key of the last partition, or None while the source goes on."""
    row_known_at: str | None = None
    """Column with the wall-clock time since when a row is known, where the source tells it row by row."""

    key_format: ClassVar[str]
    every: ClassVar[str]

    @abstractmethod
    def _following(self, local: datetime) -> datetime:
        """The naive local start of the partition after the one that starts at `local`."""

    @property
    def zone(self) -> ZoneInfo:
        """The timezone whose calendar cuts the partitions."""
        return ZoneInfo(self.timezone)

    def window(self, key: str) -> Window:
        """The span that partition `key` covers. Raises ValueError for a malformed key."""
        local = self._parse(key)
        return Window(start=self._instant(local), end=self._instant(self._following(local)))

    def known_at(self, key: str) -> datetime:
        """The instant at which partition `key` is complete: its end plus `known_after`.

        It is also the *as of* instant of a training set named by this key.
        """
        return self.window(key).end + self.known_after

    def keys(self, first: str, last: str) -> list[str]:
        """The keys from `first` to `last`, both included, in order."""
        local, stop = self._parse(first), self._parse(last)
        found: list[str] = []
        while local <= stop:
            found.append(local.strftime(self.key_format))
            local = self._following(local)
        return found

    def key_of(self, instant: datetime) -> str:
        """The key of the partition that holds the aware `instant`."""
        return instant.astimezone(self.zone).strftime(self.key_format)

    def preceding(self, key: str, count: int) -> list[str]:
        """The `count` keys that end with `key`, oldest first, whether or not data exists for them."""
        found = [key]
        while len(found) < count:
            start = self.window(found[0]).start
            found.insert(0, self.key_of(start - timedelta(microseconds=1)))
        return found

    def overlapping(self, span: Window) -> list[str]:
        """The keys of the declared partitions that share time with `span`, in order."""
        first = max(self.key_of(span.start), self.start)
        last = self.key_of(span.end - timedelta(microseconds=1))
        last = min(last, self.end) if self.end else last
        return self.keys(first, last) if first <= last else []

    def complete_keys(self, now: datetime) -> list[str]:
        """Every declared key whose `known_at` has passed at `now`, in order."""
        last = self.end or self.key_of(now)
        return [key for key in self.keys(self.start, last) if self.known_at(key) <= now]

    def utc(self, column: str) -> pl.Expr:
        """Wall-clock `column` of this timezone as an instant in UTC, as `instants` of `wall_clock` reads it."""
        dtype = pl.Datetime("us", "UTC")
        return pl.col(column).map_batches(lambda at: instants(at, self.timezone), dtype, is_elementwise=True)

    def local(self, column: str) -> pl.Expr:
        """Instants in UTC of `column` as wall-clock time of this timezone."""
        instant, dtype = pl.col(column).cast(pl.Datetime("us", "UTC")), pl.Datetime("us")
        return instant.map_batches(lambda at: wall_times(at, self.timezone), dtype, is_elementwise=True)

    def _parse(self, key: str) -> datetime:
        try:
            local = datetime.strptime(key, self.key_format)  # noqa: DTZ007 - local wall clock by design
        except ValueError as error:
            raise ValueError(f"partition key {key!r} is not of the form {self.key_format}: {error}") from error
        if local.strftime(self.key_format) != key:
            raise ValueError(f"partition key {key!r} is not of the form {self.key_format}")
        return local

    def _instant(self, local: datetime) -> datetime:
        return local.replace(tzinfo=self.zone).astimezone(UTC)


@dataclass(frozen=True, kw_only=True)
class Hourly(Calendar):
    """One partition an hour, keyed `2024-02-29T13` in UTC (local hours repeat when clocks go back)."""

    key_format: ClassVar[str] = "%Y-%m-%dT%H"
    every: ClassVar[str] = "1h"

    @property
    def zone(self) -> ZoneInfo:
        """UTC, whatever the declared timezone: an hour's key must be unique."""
        return ZoneInfo("UTC")

    def _following(self, local: datetime) -> datetime:
        return local + timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Daily(Calendar):
    """One partition a local calendar day, keyed `2024-02-29`."""

    key_format: ClassVar[str] = "%Y-%m-%d"
    every: ClassVar[str] = "1d"

    def _following(self, local: datetime) -> datetime:
        return local + timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Monthly(Calendar):
    """One partition a local calendar month, keyed `2024-02`."""

    key_format: ClassVar[str] = "%Y-%m"
    every: ClassVar[str] = "1mo"

    def _following(self, local: datetime) -> datetime:
        return (local.replace(day=1) + timedelta(days=32)).replace(day=1)


CALENDARS: dict[str, type[Hourly | Daily | Monthly]] = {one.every: one for one in (Hourly, Daily, Monthly)}
"""Each calendar by how much time a partition covers."""
