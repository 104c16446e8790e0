"""Monitoring due: which partitions of the monitoring clock show something that was not measured yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from perennial.arrivals import fingerprint
from perennial.lineage import Recorded

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

Contents = Mapping[str, str]
"""By monitoring partition: what would be measured now."""


def measurable(
    pipeline: Pipeline, records: Mapping[str, Mapping[str, Recorded]], *, since: datetime, version: int
) -> dict[str, str]:
    """The monitoring partitions that begin at `since` or later and whose data is all there.

    Each with a word for what it holds, another as soon as a row, a label or the champion is.
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


def find_due(contents: Contents, measured: Contents, *, news: Collection[str]) -> list[str]:
    """The partitions whose content is not the `measured` one, and those with new answers or outcomes."""
    return sorted(key for key, content in contents.items() if measured.get(key) != content or key in news)
