"""Expectations: what a good row and a good partition look like, as declared values.

Row expectations run on landed rows and their failures are quarantined; partition expectations run on
the accepted rows and judge the partition as a whole. Great Expectations evaluates both
(`perennial.validation.verdicts`). A null passes every row expectation but `not_null`. What identity and time
demand of every pipeline need not be declared (`implied_rules`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from perennial.policies import Late
    from perennial.time import Calendar

Level = Literal["row", "partition"]
Severity = Literal["block", "warn"]
MOSTLY = 0.5
"""Quarantined share that blocks a partition where none is declared: what is left of one that lost more than half of
its rows stands for the failures, not for the world."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One claim about rows or about a partition, and whether its failure blocks the partition.

    A row expectation never blocks by itself: its failures are quarantined, and the share of
    quarantined rows has a limit of its own.
    """

    kind: str
    level: Level
    columns: tuple[str, ...]
    limits: Mapping[str, Any]
    severity: Severity = "block"

    @property
    def claim(self) -> str:
        """The expectation in words, such as `distance_km above 0, at most 30`."""
        return _CLAIMS[self.kind](" and ".join(self.columns), self.limits)

    @property
    def is_share(self) -> bool:
        """Whether what it measures is a share of rows."""
        return self.kind in ("share_not_null", "quarantined_share")

    def warn(self) -> Expectation:
        """The same claim, whose failure is shown and does not block."""
        return replace(self, severity="warn")


def _row(kind: str, *columns: str, **limits: Any) -> Expectation:
    return Expectation(kind=kind, level="row", columns=columns, limits=limits)


def _partition(kind: str, *columns: str, **limits: Any) -> Expectation:
    return Expectation(kind=kind, level="partition", columns=columns, limits=limits)


def not_null(column: str) -> Expectation:
    """Every row has a value."""
    return _row("not_null", column)


def between(
    column: str, low: float | str | None = None, high: float | str | None = None, *, strict_low: bool = False
) -> Expectation:
    """Values lie between `low` and `high`, both included unless `strict_low`."""
    return _row("between", column, low=low, high=high, strict_low=strict_low)


def in_set(column: str, values: Sequence[Any]) -> Expectation:
    """Values are of the given set."""
    return _row("in_set", column, values=tuple(values))


def matches(column: str, pattern: str) -> Expectation:
    """Texts match the regular expression."""
    return _row("matches", column, pattern=pattern)


def after(later: str, earlier: str, *, by: tuple[timedelta, timedelta | None] | None = None) -> Expectation:
    """`later` is after `earlier`; with `by`, by at least the first and at most the second span."""
    low, high = by or (None, None)
    return _row("after", later, earlier, at_least=low, at_most=high)


def in_partition(column: str, *, tolerance: timedelta = timedelta(0)) -> Expectation:
    """The wall-clock time lies within the row's partition, give or take `tolerance`."""
    return _row("in_partition", column, tolerance=tolerance)


def implied_rules(
    calendar: Calendar, late: Late, key: Sequence[str], declared: Sequence[Expectation]
) -> tuple[Expectation, ...]:
    """What identity, time and quarantine itself demand, where no declared expectation does.

    A row without a key or an event time has no place in a training set, so it is quarantined under that
    name. A row cannot be known before it happened, so that an event from the future is quarantined; and
    one that arrives later than the policy accepts is too. A partition that is mostly quarantined is blocked.
    """
    rules = [not_null(name) for name in dict.fromkeys((calendar.event_time, *key))]
    rules = [rule for rule in rules if rule not in declared]
    if calendar.row_known_at is not None or not any(_keeps_within(e, calendar) for e in declared):
        rules.append(after("known_at", "event_time", by=(timedelta(0), None)))
    if late.accept_for is not None:
        rules.append(_on_time(late.accept_for))
    if not any(e.kind == "quarantined_share" for e in declared):
        rules.append(quarantined_share(MOSTLY))
    return tuple(rules)


def _on_time(accept_for: timedelta) -> Expectation:
    """The row was known at most so long after its partition's end."""
    return _row("on_time", "known_at", accept_for=accept_for)


def _keeps_within(declared: Expectation, calendar: Calendar) -> bool:
    """Whether it quarantines every event that lies after its partition was known."""
    within = declared.kind == "in_partition" and declared.columns == (calendar.event_time,)
    return within and declared.severity == "block" and declared.limits["tolerance"] <= calendar.known_after


def rows_between(low: int | None = None, high: int | None = None) -> Expectation:
    """A partition holds so many accepted rows."""
    return _partition("rows_between", low=low, high=high)


def unique(*columns: str) -> Expectation:
    """No two accepted rows of a partition share these values."""
    return _partition("unique", *columns)


def mean_between(column: str, low: float | None = None, high: float | None = None) -> Expectation:
    """The mean over a partition lies between the two."""
    return _partition("mean_between", column, low=low, high=high)


def share_not_null(column: str, low: float) -> Expectation:
    """At least this share of a partition's rows has a value."""
    return _partition("share_not_null", column, low=low)


def quarantined_share(high: float) -> Expectation:
    """At most this share of a partition's landed rows is quarantined."""
    return _partition("quarantined_share", high=high)


def _within(limits: Mapping[str, Any]) -> str:
    """A range in words: `from 1 to 50`, `above 0, at most 30`, `at least 1`."""
    low, high = limits.get("low"), limits.get("high")
    if low is not None and high is not None and not limits.get("strict_low"):
        return f"from {_number(low)} to {_number(high)}"
    lowest = "" if low is None else f"{'above' if limits.get('strict_low') else 'at least'} {_number(low)}"
    return ", ".join(filter(None, [lowest, "" if high is None else f"at most {_number(high)}"])) or "anything"


def _apart(columns: str, limits: Mapping[str, Any]) -> str:
    later, _, earlier = columns.partition(" and ")
    if limits["at_most"] is None:
        return f"{later} not before {earlier}" if limits["at_least"] == timedelta(0) else f"{later} after {earlier}"
    return f"{later} {_span(limits['at_least'])} to {_span(limits['at_most'])} after {earlier}"


def _in_partition(column: str, limits: Mapping[str, Any]) -> str:
    tolerance = limits["tolerance"]
    return f"{column} within its partition" + (f", give or take {_span(tolerance)}" if tolerance else "")


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _number(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def _span(span: timedelta) -> str:
    """A span of time in words.

    >>> _span(timedelta(hours=1.5)), _span(timedelta(minutes=12)), _span(timedelta(seconds=1))
    ('1 h 30 min', '12 min', '1 s')
    """
    minutes, seconds = divmod(span.total_seconds(), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = {"d": days, "h": hours, "min": minutes, "s": seconds}
    return " ".join(f"{count:g} {unit}" for unit, count in parts.items() if count) or "0 s"


_CLAIMS: Mapping[str, Callable[[str, Mapping[str, Any]], str]] = {
    "not_null": lambda column, _: f"{column} is not null",
    "between": lambda column, limits: f"{column} {_within(limits)}",
    "in_set": lambda column, limits: f"{column} one of {', '.join(map(str, limits['values']))}",
    "matches": lambda column, limits: f"{column} matches {limits['pattern']}",
    "after": _apart,
    "in_partition": _in_partition,
    "on_time": lambda _, limits: f"known at most {_span(limits['accept_for'])} after the partition's end",
    "rows_between": lambda _, limits: f"accepted rows {_within(limits)}",
    "unique": lambda columns, _: f"no two rows share {columns}",
    "mean_between": lambda column, limits: f"mean of {column} {_within(limits)}",
    "share_not_null": lambda column, limits: f"{column} is not null in at least {_percent(limits['low'])} of the rows",
    "quarantined_share": lambda _, limits: f"at most {_percent(limits['high'])} of landed rows quarantined",
}
"""How each kind of expectation reads."""
