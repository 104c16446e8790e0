"""Misfits: expectations that cannot be meant, by the kinds of their columns and by their own limits.

They are found when the declaration loads, so that no partition waits for a rule that cannot be evaluated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, get_args

from perennial.errors import Misfit
from perennial.schema import Kind, Schema
from perennial.validation.expectations import Expectation

NUMBERS: tuple[Kind, ...] = ("int32", "int64", "float32", "float64")
TIMES: tuple[Kind, ...] = ("datetime",)
KINDS: Mapping[str, tuple[Kind, ...]] = {
    "between": (*NUMBERS, *TIMES),
    "mean_between": NUMBERS,
    "matches": ("string",),
    "in_set": ("string", "bool", *NUMBERS),
    "after": TIMES,
    "in_partition": TIMES,
}
"""Kinds of columns that an expectation is about; those of any other expectation may be of any kind."""
MEMBERS: Mapping[Kind, tuple[type, ...]] = {"string": (str,), "bool": (bool,), "int32": (int,), "int64": (int,)}
"""Python types that a set for a column of a kind may hold; a float's are numbers."""


def misfits(expectations: Sequence[Expectation], schema: Schema) -> Iterator[Misfit]:
    """Each of `expectations`, whose columns `schema` has, that cannot be meant."""
    for declared in expectations:
        where = f"expectations[{', '.join(filter(None, [declared.kind, *declared.columns]))}]"
        kinds = {name: schema.columns[name].kind for name in declared.columns}
        wanted = KINDS.get(declared.kind, get_args(Kind))
        for name, kind in kinds.items():
            if kind not in wanted:
                yield where, f"{name} of kind {kind}", f"a column of kind {' or '.join(wanted)}"
        if set(kinds.values()) <= set(wanted):
            for found, expected in _of_limits(declared, *kinds.values()):
                yield where, found, expected


def _of_limits(declared: Expectation, *kinds: Kind) -> Iterator[tuple[object, str]]:
    """What was found and what was expected of limits that contradict their columns or themselves."""
    limits = declared.limits
    match declared.kind:
        case "between" | "mean_between":
            yield from _of_range(limits, kinds[0])
        case "rows_between":
            yield from _of_counts(limits)
        case "share_not_null" | "quarantined_share":
            share = limits["low" if declared.kind == "share_not_null" else "high"]
            if not _is_number(share) or not 0 <= share <= 1:
                yield share, "a share from 0 to 1"
        case "in_set":
            yield from _of_set(limits["values"], kinds[0])
        case "matches":
            yield from _of_pattern(limits["pattern"])
        case "after":
            yield from _of_spans(limits["at_least"], limits["at_most"])
        case "in_partition" if not _is_span(limits["tolerance"]):
            yield str(limits["tolerance"]), "a tolerance of 0 or more"
        case "unique" if not declared.columns:
            yield declared.columns, "at least one column"


def _of_range(limits: Mapping[str, Any], kind: Kind) -> Iterator[tuple[object, str]]:
    ends = [limit for limit in (limits["low"], limits["high"]) if limit is not None]
    if kind == "datetime":
        if not ends or not all(map(_is_wall_clock, ends)):
            yield _told(limits), "times as text without an offset, such as '2024-01-31' or '2024-01-31T18:00'"
            return
        ends = [datetime.fromisoformat(end) for end in ends]
    elif not ends or not all(map(_is_number, ends)):
        yield _told(limits), "numbers, at least one of low and high"
        return
    if ends != sorted(ends) or (limits.get("strict_low") and len(ends) == 2 and ends[0] == ends[1]):
        yield _told(limits), "low < high" if limits.get("strict_low") else "low <= high"


def _of_counts(limits: Mapping[str, Any]) -> Iterator[tuple[object, str]]:
    ends = [limit for limit in (limits["low"], limits["high"]) if limit is not None]
    if not ends or not all(_is_whole(end) and end >= 0 for end in ends) or limits["high"] == 0:
        yield _told(limits), "whole numbers of rows, of which high is at least 1"
    elif ends != sorted(ends):
        yield _told(limits), "low <= high"


def _of_spans(low: timedelta | None, high: timedelta | None) -> Iterator[tuple[object, str]]:
    if high is not None and (low is None or low > high):
        yield f"by=({low}, {high})", "a first span that is at most the second"


def _of_set(values: Sequence[Any], kind: Kind) -> Iterator[tuple[object, str]]:
    types = MEMBERS.get(kind, (int, float))
    other = [value for value in values if not isinstance(value, types) or isinstance(value, bool) != (kind == "bool")]
    if other or not values:
        yield tuple(other), f"values of kind {kind}, at least one"


def _of_pattern(pattern: object) -> Iterator[tuple[object, str]]:
    try:
        re.compile(str(pattern))
    except re.error as error:
        yield pattern, f"a regular expression: {error}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_span(value: object) -> bool:
    return isinstance(value, timedelta) and value >= timedelta(0)


def _is_wall_clock(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is None
    except ValueError:
        return False


def _told(limits: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}={limits[name]!r}" for name in ("low", "high", "strict_low") if limits.get(name) is not None
    )
