"""A partition is late or overdue by what like ones took; a backfill of history neither teaches nor alarms."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.graph.records import PartitionRecord
from perennial.ingestion.lateness import Arrivals, arrivals_of, arrived_after, first_arrival, problems, told
from perennial.time import Calendar, Daily, Hourly, Monthly, days, hours
from pipelines.delivery_eta import delivery_eta

DAYS = Daily(start="2023-01-01", event_time="at")
WATCHED = datetime(2024, 1, 1, 12, tzinfo=UTC)
SEEN = DAYS.keys("2024-01-01", "2024-02-11")
"""Six weeks that ended while the source was watched."""


def arrivals(at: Mapping[str, datetime], calendar: Calendar = DAYS) -> Arrivals:
    return Arrivals(calendar=calendar, history=56, at=at)


def backfilled(first: str = "2023-11-01", last: str = "2023-12-31") -> dict[str, datetime]:
    """What landed within minutes, when the source was first looked at."""
    return {key: WATCHED + timedelta(seconds=3 * n) for n, key in enumerate(DAYS.keys(first, last))}


def watched() -> dict[str, datetime]:
    """A backfill, then SEEN, each two hours after its end."""
    return backfilled() | {key: DAYS.window(key).end + hours(2) for key in SEEN}


def test_a_backfill_of_history_says_nothing_of_the_source() -> None:
    found = arrivals(backfilled())

    assert found.usual("2024-01-01") is None
    assert problems(found, WATCHED + days(20)) == {}


@given(pieces=st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_history_that_is_backfilled_in_pieces_alarms_nobody(pieces: list[int]) -> None:
    at, keys = dict[str, datetime](), iter(DAYS.keys("2023-01-01", "2023-06-30"))
    for number, size in enumerate(pieces):
        for _ in range(size):
            at[next(keys)] = WATCHED + number * days(1)

    assert problems(arrivals(at), WATCHED + days(30)) == {}


def test_what_is_usual_needs_three_like_days() -> None:
    two, three = watched(), watched()
    for key in SEEN[14:]:
        del two[key]
    for key in SEEN[21:]:
        del three[key]

    assert arrivals(two).usual(SEEN[14]) is None
    usual = arrivals(three).usual(SEEN[21])
    assert usual is not None
    assert (usual.lag, usual.latest, usual.of) == (hours(2), hours(8), 3)


@pytest.mark.parametrize(("lag", "late"), [(hours(7), False), (hours(9), True), (days(3), True)])
def test_the_newest_is_late_a_quarter_of_a_day_beyond_the_usual(lag: timedelta, late: bool) -> None:
    key = "2024-02-12"
    found = arrivals(watched() | {key: DAYS.window(key).end + lag})

    assert found.is_late(key) == late
    said = problems(found, DAYS.window(key).end + hours(9))
    assert said == ({key: f"arrived {told(lag)} after its end, usually 2 h and 8 h at most"} if late else {})


def test_a_day_is_overdue_once_it_should_have_arrived_and_until_it_has() -> None:
    missing = "2024-02-12"
    at, end = watched(), DAYS.window(missing).end

    assert problems(arrivals(at), end + hours(7)) == {}
    assert problems(arrivals(at), end + hours(9)) == {missing: "is overdue since 2024-02-13 08:00 UTC"}
    assert problems(arrivals(at | {missing: end + hours(3)}), end + hours(9)) == {}
    following = {"2024-02-13": end + hours(26)}  # a gap: nobody waits for it
    assert problems(arrivals(at | following), end + hours(27)) == {}


def test_a_shop_that_is_closed_on_sundays_is_not_overdue_on_mondays() -> None:
    at = {key: instant for key, instant in watched().items() if datetime.fromisoformat(key).weekday() != 6}

    assert problems(arrivals(at), DAYS.window("2024-02-11").end + hours(20)) == {}
    monday = DAYS.window("2024-02-12").end
    assert list(problems(arrivals(at), monday + hours(20))) == ["2024-02-12"]


def test_a_weekend_that_always_comes_on_monday_is_in_time_then() -> None:
    monday = hours(60)
    at = {
        key: DAYS.window(key).start + (monday - (n % 7 - 5) * days(1) if n % 7 > 4 else hours(26))
        for n, key in enumerate(SEEN)
    }

    saturday, now = "2024-02-17", datetime(2024, 2, 18, 23, tzinfo=UTC)
    week = {key: DAYS.window(key).end + hours(2) for key in DAYS.keys("2024-02-12", "2024-02-16")}
    assert saturday not in problems(arrivals(backfilled() | at | week), now)


def test_one_outage_is_not_taken_for_usual() -> None:
    at = watched()
    for key in ("2024-01-22", "2024-01-23"):
        at[key] = DAYS.window("2024-01-25").end

    usual = arrivals(at).usual("2024-02-12")

    assert usual is not None
    assert usual.latest == hours(8)


def test_months_are_all_alike_and_a_source_may_take_two_months() -> None:
    calendar = Monthly(start="2020-01", event_time="at")
    keys = calendar.keys("2023-01", "2024-06")
    at = {key: max(calendar.window(key).end + days(60), datetime(2023, 7, 1, tzinfo=UTC)) for key in keys}
    found = arrivals(at, calendar)

    usual = found.usual("2024-07")

    assert usual is not None
    assert usual.lag == days(60)
    end = calendar.window("2024-07").end
    assert problems(found, end + days(61)) == {}
    assert list(problems(found, end + days(75))) == ["2024-07"]


def test_hours_are_held_against_the_same_hour() -> None:
    calendar = Hourly(start="2024-01-01T00", event_time="at")
    keys = calendar.keys("2024-01-01T00", "2024-01-05T11")
    nightly = {key: calendar.window(key).end + (hours(3) if key.endswith("T03") else hours(0.1)) for key in keys}
    found = Arrivals(calendar=calendar, history=336, at=nightly)

    assert [usual.lag for key in ("2024-01-05T12", "2024-01-06T03") if (usual := found.usual(key))] == [
        hours(0.1),
        hours(3),
    ]


@given(lags=st.lists(st.floats(0, 90), min_size=len(SEEN), max_size=len(SEEN)))
def test_later_arrivals_do_not_change_what_is_said_of_an_earlier_one(lags: list[float]) -> None:
    at = backfilled() | {key: DAYS.window(key).end + hours(lag) for key, lag in zip(SEEN, lags, strict=True)}
    earlier = {key: instant for key, instant in at.items() if key <= SEEN[30]}

    assert arrivals(at).is_late(SEEN[30]) == arrivals(earlier).is_late(SEEN[30])
    assert arrivals(at).usual(SEEN[30]) == arrivals(earlier).usual(SEEN[30])


def test_a_partition_arrived_when_its_first_delivery_came_and_one_without_a_file_did_not() -> None:
    noted = [{}, *({"arrived_at": f"{at}+00:00"} for at in ("2024-01-06T02:00:00", "2024-03-01T00:00:00"))]
    records = [
        PartitionRecord(partition="2024-01-05", revision=1, content_hash="", rows=1, provenance=each) for each in noted
    ]

    assert first_arrival(records) == datetime(2024, 1, 6, 2, tzinfo=UTC)
    assert first_arrival(records[:1]) is None
    assert list(arrivals_of(delivery_eta, {"2024-01-05": records[0]}).at) == []


def test_what_is_said_of_an_arrival_names_the_usual_once_it_is_known() -> None:
    found = arrivals(watched())

    assert arrived_after(found, "2023-12-31") == "12 h 3 min after its end, with the history"
    assert arrived_after(found, "2024-01-02") == "2 h after its end; too few like ones were seen to say what is usual"
    assert arrived_after(found, "2024-02-11") == "2 h after its end, usually 2 h and 8 h at most"
    assert arrived_after(found, "2024-02-12") == "not yet"
