"""Lineage of verdicts: which partitions each is held against, and when a verdict has to be given again.

A verdict rests on the summaries of the last partitions before it that are fit to be history. Which are
fit follows from their own verdicts, which rest on those before them: so that all of them are decided by
the order of time, whoever judges first, and judging again changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.validation.seasons.judgement import history_of

if TYPE_CHECKING:
    from perennial.graph.lineage import History, Standing
    from perennial.graph.records import PartitionRecord

BEFORE = "summaries before it"
"""What the record of a summary calls its history."""
Acknowledged = Mapping[tuple[str, str], str]
"""By partition and content hash of its accepted rows: who found them right, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The partitions that others may be held against, in order, with the content hashes of their summaries."""

    keys: list[str]
    hashes: list[str]

    def before(self, key: str, most: int) -> dict[str, str]:
        """The last `most` of them before partition `key`, oldest first."""
        end = bisect_left(self.keys, key)
        return dict(zip(self.keys[max(0, end - most) : end], self.hashes[max(0, end - most) : end], strict=True))


def fit_of(history: History, acknowledged: Callable[[], Acknowledged]) -> Fit:
    """The partitions of which the newest summary in `history` may be held against later ones."""
    known: Acknowledged | None = None
    fit: dict[str, str] = {}
    for key in sorted(history):
        record = history[key][max(history[key])]
        if known is None and record.provenance.get("verdict") == "block":
            known = acknowledged()
        if is_fit(record, known or {}):
            fit[key] = record.content_hash
    return Fit(keys=list(fit), hashes=list(fit.values()))


def is_fit(record: PartitionRecord, acknowledged: Acknowledged) -> bool:
    """Whether others may be held against the partition of `record`: it has rows, was judged, and is not blocked."""
    judged = record.status == "ok" and record.rows > 0 and record.provenance.get("verdict") is not None
    return judged and not is_unfit(record, acknowledged)


def is_unfit(record: PartitionRecord, acknowledged: Acknowledged) -> bool:
    """Whether its history blocks the partition of `record`, and nobody has said that those rows are right."""
    blocked = record.provenance.get("verdict") == "block"
    return blocked and (record.partition, record.inputs.get("accepted", "")) not in acknowledged


def in_history(standing: Standing, key: str, revision: int) -> dict[str, str]:  # noqa: ARG001 - all revisions see the same
    """What partition `key` is held against: the content hash of each summary, oldest first.

    The newest summary of each counts as it was judged last. When that verdict changes, `key` is out of date.
    """
    pipeline = standing.pipeline
    return standing.fit.before(key, history_of(pipeline.seasons, pipeline.time))
