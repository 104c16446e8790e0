"""Expectations: what a good row and a good partition look like, as declared values.

Row expectations run on landed rows and their failures are quarantined; partition expectations run on
the accepted rows and judge the partition as a whole. Great Expectations evaluates both
(`perennial.validation`). A null passes every row expectation but `not_null`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

Level = Literal["row", "partition"]
Severity = Literal["block", "warn"]


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
        """The expectation in words, such as `distance between 0 and 100`."""
        limits = ", ".join(f"{name} {value}" for name, value in self.limits.items() if value is not None)
        return f"{' and '.join(self.columns) or 'partition'} {self.kind.replace('_', ' ')} {limits}".rstrip()

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


def after(later: str, earlier: str, *, by: tuple[timedelta, timedelta] | None = None) -> Expectation:
    """`later` is after `earlier`; with `by`, by at least the first and at most the second span."""
    low, high = by or (None, None)
    return _row("after", later, earlier, at_least=low, at_most=high)


def in_partition(column: str, *, tolerance: timedelta = timedelta(0)) -> Expectation:
    """The wall-clock time lies within the row's partition, give or take `tolerance`."""
    return _row("in_partition", column, tolerance=tolerance)


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
