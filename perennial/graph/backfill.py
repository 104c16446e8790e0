"""Backfill: which partitions of a range are to be computed, how much of each, and which are blocked for what reason."""

from __future__ import annotations

from collections.abc import Iterable

from perennial.graph.lineage import STEPS, Standing

_LAST = tuple(name for name in STEPS if name not in {step.parent for step in STEPS.values()})


def problems_in(standing: Standing, keys: Iterable[str], *, changed: Iterable[str] = ()) -> dict[str, str]:
    """Why each of `keys` is to be computed, for those that are not up to date in every data table.

    `changed` names the partitions whose file is not the one that landed. A revision before the newest
    counts too: a training set of the past may read it.
    """
    other = set(changed)
    found: dict[str, str] = {}
    for key in keys:
        problem = standing.problem_with_any(_LAST, key)
        if problem is None and key in other:
            problem = "landed is out of date: its file has changed"
        if problem is not None:
            found[key] = problem
    return found


def to_be_judged(standing: Standing, keys: Iterable[str], *, changed: Iterable[str] = ()) -> list[str]:
    """Those of `keys` of which only the summary is to be made, say since their history is another now."""
    others, other = [name for name in _LAST if name != "summary"], set(changed)
    return [key for key in keys if key not in other and standing.problem_with_any(others, key) is None]
