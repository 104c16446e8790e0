"""Clock: what time it is, for the shells; below them, time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


class Clock:
    """The machine's clock."""

    def now(self) -> datetime:
        """This instant, aware, in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class FixedClock(Clock):
    """A clock that stands still at `at`."""

    at: datetime

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError(f"FixedClock needs an aware instant, got {self.at!r}")

    def now(self) -> datetime:
        """The one instant, in UTC."""
        return self.at.astimezone(UTC)
