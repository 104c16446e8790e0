"""Out of date: which partitions of which tables no longer follow from what stands above them, and what mends them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.graph.lineage import STEPS, Standing, steps_of
from perennial.graph.ranges import ranges_of
from perennial.graph.records import PartitionRecord

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

CHECK = "is_up_to_date"
"""Name of the check that tells it of each derived table."""
TWIN = "quarantined"
"""What is made together with `accepted`, and has its problems."""
MOST_TOLD = 3
"""Reasons that a line about a table holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdated:
    """Partitions of one table that share a reason, and the command that mends them."""

    table: str
    """The table to be mended; all that is made from it waits for it."""
    keys: tuple[str, ...]
    reason: str
    command: str

    @property
    def is_blocked(self) -> bool:
        """Whether a rule or the source stands in the way, and not only time."""
        return f"{self.table} is blocked" in self.reason


def derived_tables(pipeline: Pipeline) -> tuple[str, ...]:
    """The tables of `pipeline` that are made from another."""
    return tuple(name for name in steps_of(pipeline) if STEPS[name].parent or STEPS[name].across)


def outdated(standing: Standing) -> list[Outdated]:
    """What is not up to date among the partitions that landed, tables in the order in which they are mended."""
    found: dict[tuple[str, str], list[str]] = {}
    for key in sorted(standing.history("landed")):
        reasons = dict.fromkeys(standing.problem_with(name, key) for name in steps_of(standing.pipeline))
        for reason in reasons:
            if reason and not (reason.startswith(TWIN) and f"accepted{reason.removeprefix(TWIN)}" in reasons):
                found.setdefault((_table_of(reason), reason), []).append(key)
    order = {name: position for position, name in enumerate(STEPS)}
    return [
        Outdated(table=table, keys=tuple(keys), reason=reason, command=_command(standing.pipeline, reason, keys))
        for (table, reason), keys in sorted(found.items(), key=lambda item: order.get(item[0][0], len(order)))
    ]


def outdated_in(standing: Standing, name: str) -> dict[str, str]:
    """Why each partition of table `name` is not up to date; one that is blocked has a failed check of its own."""
    problems = {key: standing.problem_with(name, key) for key in standing.history("landed")}
    return {key: reason for key, reason in problems.items() if reason and " is blocked" not in reason}


def told(behind: Mapping[str, str], total: int) -> str:
    """One line about a table of `total` partitions, of which `behind` are not up to date, with the reasons."""
    if not behind:
        return f"all of {total} partitions are up to date, or blocked by a check of their own"
    reasons = Counter(behind.values())
    listed = [f"{reason} ({count} of them)" for reason, count in reasons.most_common(MOST_TOLD)]
    more = [f"{len(reasons) - MOST_TOLD} more reasons"] if len(reasons) > MOST_TOLD else []
    return f"{len(behind)} of {total} partitions are out of date: {'; '.join(listed + more)}"


def learned_from_other(standing: Standing, training_sets: Mapping[str, PartitionRecord]) -> dict[str, list[str]]:
    """The partitions of which a training set read other rows than stand now as known at its as-of, by as-of."""
    found: dict[str, set[str]] = {}
    for as_of, training_set in training_sets.items():
        at = standing.pipeline.time.known_at(as_of)
        for name, read in training_set.inputs.items():
            table, _, key = name.partition("/")
            now = standing.record(table, key, standing.known(key, at)) if key and table in STEPS else None
            if now is not None and now.content_hash != read:
                found.setdefault(as_of, set()).add(key)
    return {as_of: sorted(keys) for as_of, keys in found.items()}


def _table_of(reason: str) -> str:
    return reason.split(" ", 1)[0]


def _command(pipeline: Pipeline, reason: str, keys: list[str]) -> str:
    """What a person runs: validation again where a rule stands in the way, else what is missing or changed."""
    first, last = ranges_of(pipeline.time, keys)[0][0], ranges_of(pipeline.time, keys)[-1][1]
    if reason.startswith("landed is blocked"):
        return f"mend the file, then perennial backfill {pipeline.name} {first} {last}"
    if " is blocked" in reason:
        return f"mend the file or the rule, then perennial requeue {pipeline.name} {first}"
    return f"perennial backfill {pipeline.name} {first} {last}"
