"""Ranges: partitions that follow one another, as the first and last key that one run covers."""

from __future__ import annotations

from collections.abc import Iterable

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
