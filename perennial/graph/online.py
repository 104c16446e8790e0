"""Online: whether the online store holds the newest aggregates that the lake knows.

What was brought online last is one record: of which partition, made from which aggregates, in which store. From before
the first write until after the last it is blocked, so that a run that was killed between them counts as none. An online
store that was emptied behind its back is told by the server, not here.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from perennial.featurization.lineage import BEHIND
from perennial.graph.lineage import Standing
from perennial.graph.outdated import Outdated, derived_tables, outdated, outdated_in
from perennial.graph.records import PartitionRecord

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

ONLINE = "online_features"
"""The asset, and its one record in the manifest."""
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


def brought_online(standing: Standing) -> tuple[str, str, str] | None:
    """The partition that was brought online last, the content hash of its aggregates then, and the store.

    None also where a run ended while it wrote: nobody knows what of it is online.
    """
    record = _record(standing)
    if record is None or record.status != "ok":
        return None
    return _partition(record), record.inputs[AGGREGATES], _store(record)


def problem_online(standing: Standing, at: datetime) -> tuple[str, str] | None:
    """The partition that is to be brought online and why, or None when the newest is there, or nothing is known.

    Where no aggregates may be read any more, the partition whose values are still online.
    """
    if not standing.pipeline.aggregates:
        return None
    newest, record = newest_known(standing, at), _record(standing)
    if newest is None:
        return (_partition(record), f"{ONLINE} is out of date: no {AGGREGATES} may be read") if record else None
    key, aggregates = newest
    if record is None:
        return key, f"{ONLINE} is missing: nothing was brought online"
    problem = _difference(standing, record, key, aggregates) or standing.problem_with(AGGREGATES, key)
    return (key, f"{ONLINE} is out of date: {problem}") if problem else None


def outdated_online(standing: Standing, at: datetime) -> list[Outdated]:
    """The same for a person, with the command that brings the newest online; nothing when it is there."""
    problem = problem_online(standing, at)
    if problem is None:
        return []
    key, reason = problem
    return [Outdated(table=ONLINE, keys=(key,), reason=reason, command=_command(standing, key))]


def all_outdated(standing: Standing, at: datetime) -> list[Outdated]:
    """What is out of date in the lake, in the order in which it is mended, then what is online."""
    return [*outdated(standing), *outdated_online(standing, at)]


def behind(standing: Standing, name: str, at: datetime) -> dict[str, str]:
    """Why each partition of asset `name` is not up to date."""
    if name != ONLINE:
        return outdated_in(standing, name)
    problem = problem_online(standing, at)
    return dict([problem]) if problem else {}


def _record(standing: Standing) -> PartitionRecord | None:
    return standing.history(ONLINE).get(ONLINE, {}).get(1)


def _partition(record: PartitionRecord) -> str:
    return str(record.provenance["partition"])


def _store(record: PartitionRecord) -> str:
    return str(record.provenance.get("store"))


def _difference(standing: Standing, record: PartitionRecord, key: str, aggregates: PartitionRecord) -> str | None:
    """Why what is online is not known to be the `aggregates` of `key`."""
    if record.status != "ok":
        return str(record.reason)
    if _store(record) != standing.online_place:
        return "it was not brought to this store"
    if _partition(record) != key:
        return f"it holds {_partition(record)}"
    return None if record.inputs[AGGREGATES] == aggregates.content_hash else f"{AGGREGATES} have changed"


def _command(standing: Standing, key: str) -> str:
    """A requeue reads no source: where `key` or what it looks back on must land again, a backfill does."""
    name, revision = standing.pipeline.name, standing.newest(key)
    looked_at = standing.across(AGGREGATES, key, revision) if revision is not None else {}
    again = [part.partition("/")[0] for part, found in looked_at.items() if found.startswith(f"{BEHIND}landed ")]
    if again or standing.problem_with("landed", key):
        return f"perennial backfill {name} {min([*again, key])} {key}"
    return f"perennial requeue {name} {key}"
