"""Monitoring due: which partitions of the monitoring clock show something that was not measured yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from perennial.graph.records import PartitionRecord
from perennial.ingestion.arrivals import fingerprint
from perennial.time import Calendar, Window

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

Contents = Mapping[str, str]
"""By monitoring partition: what would be measured now."""


def measurable(
    pipeline: Pipeline, records: Mapping[str, Mapping[str, PartitionRecord]], *, since: datetime, version: int
) -> dict[str, str]:
    """The monitoring partitions to compare with the champion: all their data is there, none of it learned from.

    They begin at `since` or later, the end of the champion's training windows. Each with a word for what
    it holds, another as soon as a row, a label or the champion is.
    """
    accepted, labels = (
        {key: record.content_hash for key, record in records[name].items() if record.status == "ok"}
        for name in ("accepted", "labels")
    )
    if not accepted:
        return {}
    clock, time = pipeline.monitoring_time, pipeline.time
    newest = time.window(max(accepted)).end - timedelta(microseconds=1)
    found: dict[str, str] = {}
    for key in clock.keys(clock.key_of(since), clock.key_of(newest)):
        window = clock.window(key)
        parts = time.overlapping(window)
        if window.start >= since and parts and all(part in accepted and part in labels for part in parts):
            found[key] = fingerprint([version, *((accepted[part], labels[part]) for part in parts)])
    return found


def matchable(
    pipeline: Pipeline, labels: Mapping[str, PartitionRecord], answered: Iterable[str], *, now: datetime
) -> tuple[dict[str, str], list[str]]:
    """The `answered` monitoring partitions, whatever serves, that are over; and those that still go on.

    Each of the first with a word for the labels that its answers may meet. A key that the monitoring
    clock does not have, such as an answer about a time before the pipeline's start, is left out.
    """
    clock, time = pipeline.monitoring_time, pipeline.time
    known = {key: record.content_hash for key, record in labels.items() if record.status == "ok"}
    found: dict[str, str] = {}
    waiting = []
    for key in sorted(answered):
        window = _window(clock, key)
        if window is None:
            continue
        if window.end > now:
            waiting.append(key)
        else:
            found[key] = fingerprint([known[part] for part in time.overlapping(window) if part in known])
    return found, waiting


def _window(clock: Calendar, key: str) -> Window | None:
    try:
        window = clock.window(key)
    except ValueError:
        return None
    return window if clock.start <= key and (clock.end is None or key <= clock.end) else None


def find_due(contents: Contents, measured: Contents, *, news: Collection[str]) -> list[str]:
    """The partitions whose content is not the `measured` one, and those with new answers or outcomes."""
    return sorted(key for key, content in contents.items() if measured.get(key) != content or key in news)
