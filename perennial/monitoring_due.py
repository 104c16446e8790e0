"""Monitoring due: which partitions of the monitoring clock show something that was not measured yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

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
        last = window.end - timedelta(microseconds=1)
        parts = time.keys(time.key_of(window.start), time.key_of(last))
        if window.start >= since and all(part in accepted and part in labels for part in parts):
            hashes = [f"{accepted[part][:16]}/{labels[part][:16]}" for part in parts]
            found[key] = " ".join([f"version {version}", *hashes])
    return found


def find_due(contents: Contents, measured: Contents, *, news: Collection[str]) -> list[str]:
    """The partitions whose content is not the `measured` one, and those with new answers or outcomes."""
    return sorted(key for key, content in contents.items() if measured.get(key) != content or key in news)
