"""Telling: what is said of judged partitions in the log of their run."""

from collections.abc import Iterator, Mapping, Sequence

from assets.range_run import RangeRun
from perennial.graph.records import PartitionRecord
from perennial.stores.lake.tables import Tables
from perennial.validation.requeue import reasons_of
from perennial.validation.telling import LastGood, failing_lines, since_last_good
from perennial.validation.verdicts import PartitionVerdict

FEW = 3
"""Partitions of a batch that are told a line at a time; those of a longer one are told together."""
MOST = 40
"""Lines of one message; the check of each partition has all of it."""


def tell(run: RangeRun, tables: Tables, verdicts: Sequence[PartitionVerdict]) -> None:
    """Say in the run's log which expectations failed, with example rows, and what changed where one blocks.

    A message is an event of the run: a long range costs one for each batch.
    """
    lines = [] if run.is_past else list(_lines(run, tables, verdicts))
    if len(verdicts) <= FEW:
        for line in lines:
            run.context.log.warning(line)
    elif lines:
        more = [f"and {len(lines) - MOST} lines more: see the checks"] if len(lines) > MOST else []
        run.context.log.warning("\n".join(lines[:MOST] + more))


def _lines(run: RangeRun, tables: Tables, verdicts: Sequence[PartitionVerdict]) -> Iterator[str]:
    for verdict in sorted(verdicts, key=lambda v: (not v.blocked, v.partition)):
        yield from failing_lines(verdict, run.pipeline.schema)
        if verdict.blocked:
            yield since_last_good(verdict, _last_good(run, tables, verdict.partition))


def _last_good(run: RangeRun, tables: Tables, key: str) -> LastGood | None:
    """The newest partition before `key` that was accepted."""
    accepted = tables.records(run.pipeline, "accepted")
    before = max((k for k, record in accepted.items() if k < key and _is_good(record)), default=None)
    if before is None:
        return None
    quarantined: Mapping[str, PartitionRecord] = tables.records(run.pipeline, "quarantined")
    reasons = tables.read(run.pipeline, "quarantined", [before], ["partition", "reason"])
    rows = quarantined[before].rows if before in quarantined else 0
    return LastGood(
        partition=before, landed=accepted[before].rows + rows, quarantined=rows, reasons=reasons_of(reasons)
    )


def _is_good(record: PartitionRecord) -> bool:
    return record.status == "ok" and record.rows > 0
