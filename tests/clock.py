"""Clock: one that stands still, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from perennial.stores.clock import Clock


@dataclass(frozen=True, slots=True)
class FixedClock(Clock):
    """A clock that stands still at `at`, an aware instant."""

    at: datetime

    def now(self) -> datetime:
        """The one instant, in UTC."""
        return self.at.astimezone(UTC)
