"""Lineage of aggregates: which other partitions a window and a row see, and when they stand in the way.

A partition that never landed or of which nothing was accepted is not known: windows leave it out. One that
only has to be made again stands in the way, so that nothing is computed from half of what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from perennial.featurization.point_in_time import keys_seen
from perennial.featurization.states import following_known_at, window_keys

if TYPE_CHECKING:
    from perennial.graph.lineage import Standing

ABSENT = ""
"""Stands for what is not known."""
BEHIND = "!"
"""Stands before the reason why what is there may not be read."""


def in_window(standing: Standing, key: str, revision: int) -> dict[str, str]:  # noqa: ARG001 - all revisions see the same
    """The partials in the windows that end with partition `key`: content hashes by revision.

    A revision that was refused changes nothing where another was accepted: that one holds until the next.
    """
    pipeline = standing.pipeline
    if not pipeline.checked_aggregates:
        return {}
    until = following_known_at(pipeline.time, key)
    found: dict[str, str] = {}
    for source in window_keys(pipeline, key):
        seen = {
            f"{source}/{number}": _seen(standing, "partials", source, number)
            for number, landed in sorted(standing.history("landed").get(source, {}).items())
            if landed.known_at is None or until is None or landed.known_at < until
        }
        found |= {name: hashed for name, hashed in seen.items() if hashed or not any(seen.values())}
    return found


def in_sight(standing: Standing, key: str, revision: int) -> dict[str, str]:  # noqa: ARG001 - all revisions see the same
    """The aggregates that rows of partition `key` see: content hashes by partition."""
    pipeline = standing.pipeline
    if not pipeline.checked_aggregates:
        return {}
    window = pipeline.time.window(key)
    return {
        seen: _seen(standing, "aggregates", seen, standing.newest(seen))
        for seen in keys_seen(pipeline, window.start, window.end)
    }


def obstacle(parts: Mapping[str, str], table: str) -> str | None:
    """Why what `in_window` or `in_sight` found of `table` may not be read, or None when it may."""
    problems = [f"{name}: {hashed.removeprefix(BEHIND)}" for name, hashed in parts.items() if hashed.startswith(BEHIND)]
    if not problems:
        return None
    return f"{table} of {problems[0]}" + (f" and {len(problems) - 1} more" if len(problems) > 1 else "")


def _seen(standing: Standing, table: str, key: str, revision: int | None) -> str:
    """The content hash of a partition of `table`, or why it cannot be read, behind BEHIND."""
    if revision is None:
        return ABSENT
    problem = standing.problem_with(table, key, revision)
    if problem:
        return ABSENT if " is blocked" in problem else f"{BEHIND}{problem}"
    record = standing.record(table, key, revision)
    return record.content_hash if record else ABSENT
