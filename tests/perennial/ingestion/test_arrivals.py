"""Arrivals: what is new or changed is asked for once, and nothing else is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perennial.ingestion.arrivals import MOST_PARTITIONS, find_arrived, with_readings
from perennial.time import Daily

CALENDAR = Daily(start="2024-01-01", event_time="at", timezone="Europe/Berlin")
DAYS = CALENDAR.keys("2024-01-01", "2024-06-30")
SIGNATURES = st.dictionaries(st.sampled_from(DAYS), st.sampled_from(["a", "b"]))
LANDED = st.dictionaries(st.sampled_from(DAYS), st.sampled_from(["a", "b", None]))


@given(signatures=SIGNATURES, landed=LANDED, busy=st.sets(st.sampled_from(DAYS)))
def test_asks_for_exactly_what_differs_and_is_not_under_way(
    signatures: dict[str, str], landed: dict[str, str | None], busy: set[str]
) -> None:
    arrived = find_arrived(CALENDAR, signatures, landed, busy=busy)

    asked = [key for one in arrived for key in CALENDAR.keys(*one.range)]
    assert asked == sorted(key for key in signatures if landed.get(key) != signatures[key] and key not in busy)
    assert all(one.new + one.changed == len(CALENDAR.keys(*one.range)) <= MOST_PARTITIONS for one in arrived)


@given(signatures=SIGNATURES, landed=LANDED)
def test_nothing_is_asked_for_once_all_has_landed(signatures: dict[str, str], landed: dict[str, str | None]) -> None:
    assert find_arrived(CALENDAR, signatures, {**landed, **signatures}) == []


@given(signatures=SIGNATURES, landed=LANDED, other=LANDED)
def test_the_same_files_have_the_same_key_whatever_landed_before(
    signatures: dict[str, str], landed: dict[str, str | None], other: dict[str, str | None]
) -> None:
    once = {one.range: one.key for one in find_arrived(CALENDAR, signatures, landed)}
    again = {one.range: one.key for one in find_arrived(CALENDAR, signatures, other)}

    assert all(again[span] == key for span, key in once.items() if span in again)


def test_a_file_that_changes_again_has_another_key() -> None:
    (first,) = find_arrived(CALENDAR, {"2024-01-01": "a"}, {})
    (second,) = find_arrived(CALENDAR, {"2024-01-01": "b"}, {"2024-01-01": "a"})

    assert first.key != second.key
    assert first.reason == "1 new in the source: 2024-01-01"
    assert second.reason == "1 changed in the source: 2024-01-01"


SEEN = st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "1", "2"]))


@given(SEEN, SEEN)
def test_readings_are_a_change_when_they_are_there_and_not_what_they_were(
    was: dict[str, str], now: dict[str, str]
) -> None:
    landed = {"2024-01-01": {"readings": was}}

    before = with_readings({"2024-01-01": "file"}, landed, {})
    after = with_readings({"2024-01-01": "file"}, landed, {"2024-01-01": now})

    changed = any(now.get(name) and now[name] != read for name, read in was.items())
    assert (after != before) == changed


def test_a_partition_that_never_landed_is_told_apart_by_the_readings_of_now() -> None:
    one, other = (with_readings({"2024-01-01": "file"}, {}, {"2024-01-01": {"a": seen}}) for seen in "12")

    assert one != other
    assert with_readings({"2024-01-01": "file"}, {}, {}) == {"2024-01-01": "file"}
