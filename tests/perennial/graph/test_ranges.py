"""Ranges: they cover what was asked, all of it, and nothing else."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import PerennialError
from perennial.graph.ranges import keys_between, ranges_of
from perennial.time import Calendar, Daily, Hourly, Monthly

CALENDARS: list[Calendar] = [
    Hourly(start="2024-03-30T00", end="2024-04-01T00", event_time="at", timezone="Europe/Berlin"),
    Daily(start="2024-02-01", end="2024-04-30", event_time="at", timezone="America/New_York"),
    Monthly(start="2022-11", end="2024-12", event_time="at", timezone="Europe/Berlin"),
]


@given(calendar=st.sampled_from(CALENDARS), data=st.data(), longest=st.one_of(st.none(), st.integers(1, 9)))
def test_ranges_cover_the_keys_and_nothing_else(calendar: Calendar, data: st.DataObject, longest: int | None) -> None:
    known = calendar.keys(calendar.start, str(calendar.end))
    keys = data.draw(st.lists(st.sampled_from(known)))

    ranges = ranges_of(calendar, keys, longest=longest)

    covered = [key for first, last in ranges for key in calendar.keys(first, last)]
    assert covered == sorted(set(keys))
    assert all(longest is None or len(calendar.keys(*span)) <= longest for span in ranges)


@given(calendar=st.sampled_from(CALENDARS), data=st.data())
def test_neighbouring_ranges_are_one(calendar: Calendar, data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.sampled_from(calendar.keys(calendar.start, str(calendar.end)))))

    ranges = ranges_of(calendar, keys)

    for (_, last), (first, _) in pairwise(ranges):
        assert calendar.window(last).end < calendar.window(first).start


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        ("2024-02", "2024-02-03", "'2024-02'"),
        ("2024-2-1", "2024-02-03", "'2024-2-1'"),
        ("2024-02-30", "2024-03-03", "'2024-02-30'"),
        ("2024-01-31", "2024-02-03", "2024-01-31"),
        ("2024-02-03", "2024-05-01", "2024-05-01"),
        ("2024-02-03", "2024-02-02", "2024-02-03 to 2024-02-02"),
    ],
)
def test_a_range_that_the_calendar_does_not_have_is_refused(first: str, last: str, found: str) -> None:
    with pytest.raises(PerennialError) as refused:
        keys_between(CALENDARS[1], first, last, where="eta")

    assert refused.value.found == found
    assert refused.value.expected


@given(calendar=st.sampled_from(CALENDARS), data=st.data())
def test_a_range_has_every_key_from_first_to_last(calendar: Calendar, data: st.DataObject) -> None:
    known = calendar.keys(calendar.start, str(calendar.end))
    first, last = sorted([data.draw(st.sampled_from(known)), data.draw(st.sampled_from(known))])

    assert keys_between(calendar, first, last, where="eta") == [key for key in known if first <= key <= last]
