"""In order: the verdicts on partitions that came one after the other, without a lake."""

from __future__ import annotations

from collections.abc import Sequence

from perennial.time import Calendar
from perennial.validation.seasons.judgement import Judgement, Seasons, judge
from perennial.validation.seasons.panel import Panel
from perennial.validation.seasons.summaries import Watched


def judge_in_order(
    panel: Panel,
    keys: Sequence[str],
    known: Sequence[str],
    *,
    columns: Sequence[Watched],
    calendar: Calendar,
    seasons: Seasons,
    acknowledged: frozenset[str] = frozenset(),
) -> dict[str, Judgement]:
    """The verdict on each of `keys`, the earlier first: what is blocked is no history for those after it.

    Slow and obvious, and all in memory: `perennial.stores.lake.judging` reaches the same over what the lake holds.
    """
    good = set(known)
    found: dict[str, Judgement] = {}
    for key in sorted(keys):
        found[key] = judge(panel, key, sorted(good - {key}), columns=columns, calendar=calendar, seasons=seasons)
        good.discard(key)
        if found[key].verdict != "block" or key in acknowledged:
            good.add(key)
    return found
