"""Clock: aware instants in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from perennial.stores.clock import Clock


def test_the_machines_clock_is_aware_and_in_utc():
    before = datetime.now(UTC)

    assert before <= Clock().now() <= datetime.now(UTC)
    assert Clock().now().tzinfo is UTC
