"""Clock: aware instants in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from perennial.stores.clock import Clock, FixedClock


def test_the_machines_clock_is_aware_and_in_utc():
    before = datetime.now(UTC)

    assert before <= Clock().now() <= datetime.now(UTC)
    assert Clock().now().tzinfo is UTC


def test_a_fixed_clock_stands_still_in_utc():
    clock = FixedClock(datetime(2024, 3, 1, 7, tzinfo=ZoneInfo("America/New_York")))

    assert clock.now() == clock.now() == datetime(2024, 3, 1, 12, tzinfo=UTC)
    assert clock.now().tzinfo is UTC


def test_a_fixed_clock_refuses_an_instant_without_a_timezone():
    with pytest.raises(ValueError, match="aware"):
        FixedClock(datetime(2024, 3, 1))
