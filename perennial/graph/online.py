"""Online: whether the online store holds the newest aggregates that the lake knows.

What was brought online is recorded like a partition of a table: the newest partition of that moment, made from
its aggregates. An online store that was emptied behind its back is told by the server, not here.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from perennial.graph.lineage import Standing
from perennial.graph.outdated import Outdated, derived_tables, outdated, outdated_in
from perennial.graph.records import PartitionRecord

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

ONLINE = "online_features"
"""The asset, and its records in the manifest."""
AGGREGATES = "aggregates"


def renewed_assets(pipeline: Pipeline) -> tuple[str, ...]:
    """What is made from what landed, parents before children, the online store last."""
    return (*derived_tables(pipeline), *((ONLINE,) if pipeline.aggregates else ()))


def newest_known(standing: Standing, at: datetime) -> tuple[str, PartitionRecord] | None:
    """The partition whose aggregates are the newest that were known `at`, and their record."""
    calendar, history = standing.pipeline.time, standing.history(AGGREGATES)
    newest = {key: revisions[max(revisions)] for key, revisions in history.items() if revisions}
    known = [key for key, record in newest.items() if record.status == "ok" and calendar.known_at(key) <= at]
    return (max(known), newest[max(known)]) if known else None


def problem_online(standing: Standing, at: datetime) -> tuple[str, str] | None:
    """The partition that is to be brought online and why, or None when the newest is there, or nothing is known."""
    newest = newest_known(standing, at) if standing.pipeline.aggregates else None
    if newest is None:
        return None
    key, aggregates = newest
    brought = standing.history(ONLINE)
    online = brought.get(key, {})
    if not brought:
        return key, f"{ONLINE} is missing: nothing was brought online"
    if not online:
        return key, f"{ONLINE} is out of date: it holds {max(brought)}"
    if online[max(online)].inputs.get(AGGREGATES) != aggregates.content_hash:
        return key, f"{ONLINE} is out of date: {AGGREGATES} have changed"
    return None


def outdated_online(standing: Standing, at: datetime) -> list[Outdated]:
    """The same for a person, with the command that brings the newest online; nothing when it is there."""
    problem = problem_online(standing, at)
    if problem is None:
        return []
    key, reason = problem
    command = f"perennial requeue {standing.pipeline.name} {key}"
    return [Outdated(table=ONLINE, keys=(key,), reason=reason, command=command)]


def all_outdated(standing: Standing, at: datetime) -> list[Outdated]:
    """What is out of date in the lake, in the order in which it is mended, then what is online."""
    return [*outdated(standing), *outdated_online(standing, at)]


def behind(standing: Standing, name: str, at: datetime) -> dict[str, str]:
    """Why each partition of asset `name` is not up to date."""
    if name != ONLINE:
        return outdated_in(standing, name)
    problem = problem_online(standing, at)
    return dict([problem]) if problem else {}
