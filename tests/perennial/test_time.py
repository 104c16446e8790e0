"""Time: partitions follow the local calendar, and instants are in UTC."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.time import Calendar, Daily, Hourly, Monthly, Window, hours

BERLIN = Daily(start="2024-01-01", end="2025-12-31", event_time="at", timezone="Europe/Berlin", known_after=hours(2))
NEW_YORK = Monthly(start="2023-01", event_time="at", timezone="America/New_York")
CALENDARS = [BERLIN, NEW_YORK, Hourly(start="2024-01-01T00", event_time="at", timezone="Europe/Berlin")]
INSTANTS = st.datetimes(datetime(2024, 1, 2), datetime(2025, 12, 30), timezones=st.just(UTC))


def test_a_month_starts_and_ends_at_local_midnight() -> None:
    assert NEW_YORK.window("2023-11") == Window(
        start=datetime(2023, 11, 1, 4, tzinfo=UTC), end=datetime(2023, 12, 1, 5, tzinfo=UTC)
    )


def test_the_day_clocks_go_forward_has_23_hours() -> None:
    window = BERLIN.window("2024-03-31")

    assert window.end - window.start == timedelta(hours=23)


def test_a_partition_is_known_after_its_end_by_the_declared_delay() -> None:
    assert BERLIN.known_at("2024-01-01") == BERLIN.window("2024-01-01").end + timedelta(hours=2)


@pytest.mark.parametrize("key", ["2024-1-1", "2024-01", "x", "2024-02-30"])
def test_a_malformed_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=key):
        BERLIN.window(key)


@pytest.mark.parametrize("calendar", CALENDARS, ids=lambda c: c.every)
@given(instant=INSTANTS)
def test_every_instant_lies_in_the_partition_that_its_key_names(calendar: Calendar, instant: datetime) -> None:
    window = calendar.window(calendar.key_of(instant))

    assert window.start <= instant < window.end


@pytest.mark.parametrize("calendar", CALENDARS, ids=lambda c: c.every)
@given(instant=INSTANTS, count=st.integers(1, 40))
def test_partitions_follow_each_other_without_gap_or_overlap(calendar: Calendar, instant: datetime, count: int) -> None:
    keys = calendar.preceding(calendar.key_of(instant), count)

    assert len(keys) == count
    assert keys == sorted(keys)
    windows = [calendar.window(key) for key in keys]
    assert all(before.end == after.start for before, after in pairwise(windows))


@given(instant=INSTANTS)
def test_only_partitions_known_by_now_are_complete(instant: datetime) -> None:
    complete = BERLIN.complete_keys(instant)

    assert all(BERLIN.known_at(key) <= instant for key in complete)
    following = BERLIN.keys(BERLIN.start, BERLIN.key_of(instant + timedelta(days=2)))[len(complete)]
    assert BERLIN.known_at(following) > instant


def test_overlapping_keys_share_time_with_the_span() -> None:
    assert NEW_YORK.overlapping(BERLIN.window("2024-03-01")) == ["2024-02", "2024-03"]


def test_the_hour_that_happens_twice_means_its_first_pass_and_the_skipped_one_is_read_later() -> None:
    wall = pl.DataFrame({"at": [datetime(2024, 10, 27, 2, 30), datetime(2024, 3, 31, 2, 30)]})

    assert wall.select(BERLIN.utc("at"))["at"].to_list() == [
        datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
        datetime(2024, 3, 31, 1, 30, tzinfo=UTC),
    ]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_an_instant_is_shown_as_local_clocks_do_in_microseconds(unit: Literal["ms", "us", "ns"]) -> None:
    at = pl.Series("at", [datetime(2024, 7, 1, 22, 30, tzinfo=UTC)]).dt.cast_time_unit(unit)

    shown = at.to_frame().select(BERLIN.local("at")).to_series()

    assert shown.to_list() == [datetime(2024, 7, 2, 0, 30)]
    assert shown.dtype == pl.Datetime("us")
