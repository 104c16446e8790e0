"""Arrivals: which partitions of a source are new or have changed since they landed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from perennial.graph.ranges import Range, ranges_of
from perennial.time import Calendar

MOST_PARTITIONS = 64
"""Of one request: a run that is lost loses at most so much work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """Consecutive partitions that one run should land."""

    range: Range
    new: int
    changed: int
    key: str
    """Equal for equal files, whoever looks and when."""

    @property
    def reason(self) -> str:
        """Why they should land, for a person."""
        first, last = self.range
        span = first if first == last else f"{first} to {last}"
        counts = [f"{count} {word}" for count, word in ((self.new, "new"), (self.changed, "changed")) if count]
        return f"{' and '.join(counts)} in the source: {span}"


def find_arrived(
    calendar: Calendar,
    signatures: Mapping[str, str | None],
    landed: Mapping[str, str | None],
    *,
    busy: Collection[str] = (),
) -> list[Arrived]:
    """The partitions whose file's signature is not the landed one, but for those that a run is `busy` with.

    `landed` holds the signature with which each partition landed or was blocked.
    """
    arrived = {key for key, signature in signatures.items() if landed.get(key) != signature} - set(busy)
    found = []
    for first, last in ranges_of(calendar, arrived, longest=MOST_PARTITIONS):
        keys = calendar.keys(first, last)
        changed = sum(key in landed for key in keys)
        found.append(
            Arrived(
                range=(first, last),
                new=len(keys) - changed,
                changed=changed,
                key=fingerprint({key: signatures[key] for key in keys}),
            )
        )
    return found


def with_readings(
    signatures: Mapping[str, str | None], landed: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, str]]
) -> dict[str, str | None]:
    """Each partition's signature together with those of the readings beside it, to be compared.

    `landed` holds the provenance of what landed. Readings that cannot be had `now` are taken to be what they
    were then: that they are away changes nothing.
    """
    together: dict[str, str | None] = {}
    for key, signature in signatures.items():
        readings = now.get(key, {})
        was = landed[key].get("readings", {}) if key in landed else readings
        same = {name: readings.get(name) or before for name, before in was.items()}
        together[key] = fingerprint([signature, same]) if same else signature
    return together


def is_due(looked_at: str | None, now: datetime, every: timedelta) -> bool:
    """Whether to look again at a source that was last looked at at `looked_at`.

    >>> from datetime import UTC
    >>> is_due("2024-01-01T12:00:00+00:00", datetime(2024, 1, 1, 12, 14, tzinfo=UTC), timedelta(minutes=15))
    False
    """
    return not looked_at or now - datetime.fromisoformat(looked_at) >= every


def fingerprint(content: object) -> str:
    """A short name of JSON `content`, equal for equal content."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:24]
