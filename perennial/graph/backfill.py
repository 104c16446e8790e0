"""Backfill: which partitions of a range are to be computed, and which are blocked for what reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from perennial.graph.lineage import STEPS, Recorded, problem_with

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

_LAST = tuple(name for name in STEPS if name not in {step.parent for step in STEPS.values()})


def problems_in(
    pipeline: Pipeline,
    keys: Iterable[str],
    records: Mapping[str, Mapping[str, Recorded]],
    *,
    changed: Iterable[str] = (),
) -> dict[str, str]:
    """Why each of `keys` is to be computed, for those that are not up to date in every data table.

    `records` holds the manifest of each data table; `changed` the partitions whose file is not the
    one that landed.
    """
    other = set(changed)
    found: dict[str, str] = {}
    for key in keys:
        problems = (problem_with(pipeline, name, key, records) for name in _LAST)
        problem = next((problem for problem in problems if problem), None)
        if problem is None and key in other:
            problem = "landed is out of date: its file has changed"
        if problem is not None:
            found[key] = problem
    return found
