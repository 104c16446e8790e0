"""Ranges: partitions that follow one another, as the first and last key that one run covers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from perennial.errors import PerennialError
from perennial.time import Calendar

Range = tuple[str, str]
"""First and last partition key, both included."""


def ranges_of(calendar: Calendar, keys: Iterable[str], *, longest: int | None = None) -> list[Range]:
    """`keys` as the fewest ranges that cover them and nothing else, in order, each of at most `longest`.

    >>> from perennial.time import Monthly
    >>> ranges_of(Monthly(start="2023-01", event_time="at"), ["2023-03", "2022-12", "2023-01"])
    [('2022-12', '2023-01'), ('2023-03', '2023-03')]
    """
    runs: list[list[str]] = []
    for key in sorted(set(keys)):
        follows = bool(runs) and calendar.window(runs[-1][-1]).end == calendar.window(key).start
        if follows and (longest is None or len(runs[-1]) < longest):
            runs[-1].append(key)
        else:
            runs.append([key])
    return [(run[0], run[-1]) for run in runs]


def keys_between(calendar: Calendar, first: str, last: str, *, where: str) -> list[str]:
    """The keys from `first` to `last`, both included, as a person gave them.

    Raises PerennialError for a key that `calendar` does not have, and for a range that ends before it begins.
    """
    for key in (first, last):
        _check_key(calendar, key, where)
    if last < first:
        raise PerennialError(
            "the range ends before it begins", where=where, found=f"{first} to {last}", expected="FROM before TO"
        )
    return calendar.keys(first, last)


def _check_key(calendar: Calendar, key: str, where: str) -> None:
    span = f"from {calendar.start}" + (f" to {calendar.end}" if calendar.end else " on")
    try:
        calendar.keys(key, key)
    except ValueError:
        raise PerennialError(
            "not a partition", where=where, found=repr(key), expected=f"a key such as {calendar.start}, {span}"
        ) from None
    if key < calendar.start or (calendar.end and key > calendar.end):
        raise PerennialError("no such partition", where=where, found=key, expected=f"a key {span}")


def told_span(keys: Sequence[str]) -> str:
    """`keys`, at least one, as a person reads them.

    >>> told_span(["2024-01", "2024-02", "2024-03"])
    '2024-01 .. 2024-03, 3 in all'
    """
    return keys[0] if len(keys) == 1 else f"{keys[0]} .. {keys[-1]}, {len(keys)} in all"
