"""Monitoring due: only whole partitions after the as-of, and each content once."""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st

from perennial.declaration import Pipeline
from perennial.graph.records import PartitionRecord
from perennial.monitoring.due import find_due, matchable, measurable
from perennial.policies import Monitoring, Windows
from perennial.time import Calendar, Daily, Monthly, hours
from tests.eta import declare_eta

DAILY = Daily(start="2024-01-01", event_time="asked", timezone="Europe/Berlin", known_after=hours(2))
MONTHLY = Monthly(start="2024-01", event_time="asked", timezone="America/New_York")


def declare(time: Calendar, every: Any) -> Pipeline:
    return declare_eta(time=time, windows=Windows(train=1), monitoring=Monitoring(every=every))


STATUSES: tuple[Literal["ok", "blocked"], ...] = ("ok", "blocked")
PIPELINES = [declare(DAILY, "1d"), declare(DAILY, "1mo"), declare(DAILY, "1h"), declare(MONTHLY, "1d")]


@given(pipeline=st.sampled_from(PIPELINES), data=st.data(), as_of=st.integers(0, 3))
def test_what_is_measurable_begins_after_the_as_of_and_has_all_its_data(
    pipeline: Pipeline, data: st.DataObject, as_of: int
) -> None:
    keys = [*pipeline.time.keys(pipeline.time.start, pipeline.time.start)]
    while len(keys) < 8:
        keys.append(pipeline.time.key_of(pipeline.time.window(keys[-1]).end))
    written = data.draw(st.dictionaries(st.sampled_from(keys), st.sampled_from(STATUSES)))
    records = {
        name: {
            key: PartitionRecord(partition=key, revision=1, content_hash=f"{name}{key}", rows=1, status=status)
            for key, status in written.items()
        }
        for name in ("accepted", "labels")
    }
    since = pipeline.time.window(keys[as_of]).end

    found = measurable(pipeline, records, since=since, version=1)

    for key in found:
        window = pipeline.monitoring_time.window(key)
        assert window.start >= since
        assert all(written.get(part) == "ok" for part in pipeline.time.overlapping(window))
    assert set(found) == set(measurable(pipeline, records, since=since, version=2))
    assert not set(found.values()) & set(measurable(pipeline, records, since=since, version=2).values())


@given(
    pipeline=st.sampled_from(PIPELINES),
    hours_after=st.lists(st.integers(-100, 2000), max_size=8),
    now_after=st.integers(0, 2000),
)
def test_every_answered_partition_that_the_clock_has_is_followed_once_it_is_over(
    pipeline: Pipeline, hours_after: list[int], now_after: int
) -> None:
    clock = pipeline.monitoring_time
    begin = clock.window(clock.start).start
    now = begin + hours(now_after)
    answered = {clock.key_of(begin + hours(count)) for count in hours_after} | {"no key"}

    over, waiting = matchable(pipeline, {}, answered, now=now)

    assert {*over, *waiting} == {key for key in answered if clock.start <= key != "no key"}
    assert all(clock.window(key).end <= now for key in over)
    assert all(clock.window(key).end > now for key in waiting)


CONTENTS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("12"))


@given(contents=CONTENTS, measured=CONTENTS, news=st.sets(st.sampled_from("abcdefgh")))
def test_what_is_due_is_new_or_has_news_and_is_settled_once_measured(
    contents: dict[str, str], measured: dict[str, str], news: set[str]
) -> None:
    due = find_due(contents, measured, news=news)

    assert due == sorted(key for key in contents if measured.get(key) != contents[key] or key in news)
    assert find_due(contents, contents, news=()) == []
