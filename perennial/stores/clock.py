"""Clock: what time it is, for the shells; below them, time is an argument."""

from __future__ import annotations

from datetime import UTC, datetime


class Clock:
    """The machine's clock."""

    def now(self) -> datetime:
        """This instant, aware, in UTC."""
        return datetime.now(UTC)
