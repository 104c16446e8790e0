"""Point in time: a row meets what was known when it happened, held against loops over rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from perennial.declaration import Pipeline
from perennial.featurization.point_in_time import join_point_in_time
from perennial.featurization.views import feature_views
from tests.perennial.featurization.timelines import MONTHS, RIDES, Revision, Row, Timeline, answer, built, frame_of

LATE = [timedelta(0), timedelta(minutes=20), timedelta(hours=26), timedelta(days=5), None]


@st.composite
def timelines(draw: st.DrawFn, pipeline: Pipeline, count: int) -> Timeline:
    """Up to `count` partitions; some missing, some blocked, some corrected, some with rows dated before their own."""
    timeline: Timeline = {}
    for key in _keys(pipeline, count):
        if not draw(st.integers(0, 5)):
            continue
        known_at = pipeline.time.known_at(key)
        arrivals = [known_at]
        length = pipeline.time.window(key).end - pipeline.time.window(key).start
        for _ in range(draw(st.integers(0, 2))):
            arrivals.append(arrivals[-1] + draw(st.sampled_from([0.1, 0.5, 1.0, 1.7])) * length)
        rows: tuple[Row, ...] = ()
        timeline[key] = []
        for arrival in arrivals:
            kept = tuple(row for row in rows if draw(st.booleans()))
            new = draw(st.lists(rows_of(pipeline, key), max_size=4))
            rows = kept + tuple(replace(row, known_at=max(arrival, row.event_time)) for row in new)
            blocked = draw(st.integers(0, 9)) == 0
            timeline[key].append(Revision(known_at=arrival, rows=None if blocked else rows))
    return timeline


@st.composite
def rows_of(draw: st.DrawFn, pipeline: Pipeline, key: str) -> Row:
    window = pipeline.time.window(key)
    early = draw(st.sampled_from([0, 0, 0, -30]))
    span = int((window.end - window.start).total_seconds() // 3600)
    event_time = window.start + timedelta(
        hours=draw(st.integers(early, span - 1)), minutes=draw(st.sampled_from([0, 59]))
    )
    late = draw(st.sampled_from(LATE))
    return Row(
        zone=draw(st.sampled_from([1, 2, None])),
        line=draw(st.sampled_from(["u", "s"])),
        load=draw(st.floats(-1e3, 1e3, allow_nan=False).map(lambda value: round(value, 6))),
        minutes=draw(st.sampled_from([None, 0.1, 7.0, 33.333])),
        event_time=event_time,
        known_at=pipeline.time.known_at(key),
        done_at=event_time + late if late is not None else None,
    )


def _keys(pipeline: Pipeline, count: int) -> list[str]:
    first = pipeline.time.start
    keys = [first]
    while len(keys) < count:
        keys.append(pipeline.time.key_of(pipeline.time.window(keys[-1]).end))
    return keys


def _check(pipeline: Pipeline, timeline: Timeline, count: int) -> None:
    keys = _keys(pipeline, count)
    states = built(pipeline, timeline, keys)
    for key, revisions in timeline.items():
        for revision in revisions:
            rows = revision.rows or ()
            joined = join_point_in_time(frame_of(pipeline, key, rows), states, pipeline)
            for row, found in zip(rows, joined.to_dicts(), strict=True):
                absent = []
                for aggregate in pipeline.checked_aggregates:
                    expected = answer(pipeline, timeline, row, aggregate)
                    if expected is None:
                        absent.append(aggregate.name)
                        assert found[aggregate.name] == aggregate.default
                    else:
                        assert found[aggregate.name] == pytest.approx(expected, rel=1e-5, abs=1e-6), aggregate.name
                assert found["defaulted"] == ",".join(absent)


@given(st.data())
@settings(max_examples=50)
def test_a_row_of_a_daily_pipeline_sees_what_loops_over_the_known_rows_say(data: st.DataObject) -> None:
    # 2024-03-31 has 23 hours in Berlin.
    _check(RIDES, data.draw(timelines(RIDES, 9)), 9)


@given(st.data())
@settings(max_examples=25)
def test_a_row_of_a_monthly_pipeline_sees_what_loops_over_the_known_rows_say(data: st.DataObject) -> None:
    _check(MONTHS, data.draw(timelines(MONTHS, 4)), 4)


@given(st.data())
@settings(max_examples=12)
def test_the_states_of_a_partition_are_the_same_alone_and_among_others(data: st.DataObject) -> None:
    timeline = data.draw(timelines(RIDES, 6))
    keys = _keys(RIDES, 6)

    together = built(RIDES, timeline, keys)

    for key in keys:
        assert built(RIDES, timeline, [key]).equals(together.filter(pl.col("partition") == key))


@given(st.data())
@settings(max_examples=25)
def test_the_last_row_of_an_entity_says_what_the_states_say_once_who_left_has_nulls(data: st.DataObject) -> None:
    """As Feast joins: by the last row of an entity up to the time of a row, however old."""
    timeline, keys = data.draw(timelines(RIDES, 7)), _keys(RIDES, 7)
    states = built(RIDES, timeline, keys)
    parts = states.partition_by("partition", as_dict=True)
    delivered = [(key, revision.rows or ()) for key, revisions in timeline.items() for revision in revisions]
    rows = pl.concat([frame_of(RIDES, "", ()), *(frame_of(RIDES, key, rows) for key, rows in delivered)])
    rows = rows.sort("event_time")
    joined = join_point_in_time(rows, states, without_defaults(RIDES))

    for view in feature_views(RIDES):
        files = []
        for earlier, key in pairwise([None, *keys]):
            found, before = (view.rows(parts.get((one,)), RIDES) for one in (key, earlier))
            files += [found, view.departures(before, found, RIDES.time.known_at(str(key)))]
        last = rows.join_asof(
            pl.concat(files).sort("known_at").rename({"known_at": "seen_at"}),
            left_on="event_time",
            right_on="seen_at",
            by=[*view.by],
            check_sortedness=False,
        )

        assert_frame_equal(last.select(*view.features), joined.select(*view.features))


def without_defaults(pipeline: Pipeline) -> Pipeline:
    return replace(pipeline, aggregates=[replace(rolling, default=None) for rolling in pipeline.aggregates])
