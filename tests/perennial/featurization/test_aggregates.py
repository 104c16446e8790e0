"""Aggregates: a wrong declaration is refused when it is loaded, and a right one has a name and features."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from perennial import Rolling, col
from perennial.declaration import Pipeline
from perennial.errors import DeclarationError, FeatureError
from perennial.featurization.partials import partial_rows
from perennial.featurization.point_in_time import join_point_in_time
from tests.perennial.featurization.timelines import RIDES, Revision, Row, Timeline, built, frame_of

FIRST, SECOND, THIRD = "2024-03-25", "2024-03-26", "2024-03-27"


def declared(**changes: Any) -> Pipeline:
    rolling: dict[str, Any] = {"by": "zone", "of": "label", "how": "mean", "days": 3} | changes
    return replace(RIDES, aggregates=[Rolling(**rolling)])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"by": "nowhere"}, "'by'.*nowhere"),
        ({"by": ()}, "at least one column"),
        ({"by": ("zone", "zone")}, "named once"),
        ({"by": "minutes"}, "known when the prediction is made"),
        ({"by": "load"}, "of kind float64"),
        ({"how": "median"}, "'how'.*median"),
        ({"days": 0}, "at least 1"),
        ({"days": 1.5}, "whole number"),
        ({"default": float("nan")}, "finite"),
        ({"of": None}, "to take the mean of"),
        ({"of": "nothing"}, "'of'"),
        ({"of": "line"}, "a number"),
        ({"of": "load", "how": "share"}, "true or false"),
        ({"of": col("load") - col("load").mean()}, "an aggregate is not allowed"),
        ({"name": "load"}, "no column or other aggregate has"),
        ({"name": "event_time"}, "event_time"),
        ({"name": "defaulted"}, "defaulted"),
    ],
)
def test_a_wrong_aggregate_is_refused_with_its_field(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        declared(**changes)


def test_two_aggregates_may_not_share_a_name_nor_a_feature_take_it() -> None:
    one = Rolling(by="zone", of="load", how="mean", days=3)
    with pytest.raises(DeclarationError, match="zone_mean_load_3d"):
        replace(RIDES, aggregates=[one, one])
    with pytest.raises(DeclarationError, match="share one name"):
        replace(RIDES, aggregates=[one], features=[col("load").alias("zone_mean_load_3d")])


def test_two_values_of_one_name_are_refused() -> None:
    rolling = [Rolling(by="zone", of=(col("load") * k).alias("scaled"), how="mean", days=k) for k in (2, 3)]

    with pytest.raises(DeclarationError, match="one meaning for each name"):
        replace(RIDES, aggregates=rolling)


def test_an_aggregate_is_a_feature_that_other_features_may_read() -> None:
    over = (col("load") - col("zone_mean_minutes_3d")).alias("over")

    pipeline = replace(declared(), features=[col("load"), over])

    assert [feature.name for feature in pipeline.checked_features] == ["load", "over", "zone_mean_minutes_3d"]
    assert pipeline.request_columns == ("began_at", "load", "zone_mean_minutes_3d", "zone")


def test_the_declaration_of_an_aggregate_changes_the_hash() -> None:
    assert declared().hash != declared(days=4).hash != declared(default=1.0).hash


def ride(key: str, hour: int, minutes: float = 10.0, late: timedelta = timedelta(0), **changes: Any) -> Row:
    begins = RIDES.time.window(key).start + timedelta(hours=hour)
    row = Row(
        zone=1, line="u", load=1.0, minutes=minutes,
        event_time=begins, known_at=RIDES.time.known_at(key), done_at=begins + late,
    )  # fmt: skip
    return replace(row, **changes)


def seen(timeline: Timeline, row: Row, key: str, name: str = "zone_mean_minutes_3d") -> float | None:
    states = built(RIDES, timeline, [FIRST, SECOND, THIRD])
    joined = join_point_in_time(frame_of(RIDES, key, (row,)), states, RIDES)
    value: float | None = joined[name].item()
    return value


def test_what_happened_before_a_row_but_was_known_only_later_is_not_seen() -> None:
    timeline = {FIRST: [Revision(known_at=RIDES.time.known_at(FIRST), rows=(ride(FIRST, 8),))]}

    assert seen(timeline, ride(SECOND, 1), SECOND) is None  # the day is known two hours after its end
    assert seen(timeline, ride(SECOND, 3), SECOND) == 10.0


def test_an_outcome_that_came_late_is_seen_from_the_next_end_on() -> None:
    rows = (ride(FIRST, 8, minutes=10.0), ride(FIRST, 9, minutes=70.0, late=timedelta(days=1)))
    timeline = {FIRST: [Revision(known_at=RIDES.time.known_at(FIRST), rows=rows)]}

    assert seen(timeline, ride(SECOND, 20), SECOND) == 10.0
    assert seen(timeline, ride(THIRD, 20), THIRD) == 40.0


def test_a_correction_is_seen_from_its_arrival_on_and_not_before() -> None:
    known_at = RIDES.time.known_at(FIRST)
    later = known_at + timedelta(hours=5)
    corrected = ride(FIRST, 8, minutes=30.0, known_at=later)
    timeline = {
        FIRST: [Revision(known_at=known_at, rows=(ride(FIRST, 8),)), Revision(known_at=later, rows=(corrected,))]
    }

    assert seen(timeline, ride(SECOND, 6), SECOND) == 10.0
    assert seen(timeline, ride(SECOND, 8), SECOND) == 30.0


def test_an_entity_that_left_the_window_has_no_older_value() -> None:
    timeline = {FIRST: [Revision(known_at=RIDES.time.known_at(FIRST), rows=(ride(FIRST, 8),))]}

    assert seen(timeline, ride(SECOND, 12), SECOND, "zone_line_sum_load_1d") == 1.0
    assert seen(timeline, ride(THIRD, 12), THIRD, "zone_line_sum_load_1d") == -1.0


def test_a_number_too_large_to_add_exactly_is_refused_by_name() -> None:
    rows = frame_of(RIDES, FIRST, (ride(FIRST, 8, load=1e30),))

    with pytest.raises(FeatureError, match=r"'load'.*1e\+30"):
        partial_rows(rows, RIDES)


def test_no_rows_make_no_partials() -> None:
    assert partial_rows(frame_of(RIDES, FIRST, ()), RIDES).is_empty()


def test_a_number_that_is_not_finite_counts_nothing() -> None:
    rows = frame_of(RIDES, FIRST, tuple(ride(FIRST, 8, load=load) for load in (2.0, float("nan"), float("inf"))))

    partials = partial_rows(rows, RIDES).filter(pl.col("by") == "line")

    assert partials["load_count"].sum() == 1


def test_an_outcome_of_too_little_confidence_counts_in_no_aggregate_of_labels() -> None:
    sure = pl.when(col("load") > 1).then(1.0).otherwise(0.4)
    choosy = replace(RIDES, label=replace(RIDES.label, confidence=sure, min_confidence=0.5))
    rides = (ride(FIRST, 8, minutes=10.0, load=1.0), ride(FIRST, 9, minutes=70.0, load=2.0))

    def counts(pipeline: Pipeline) -> tuple[int, ...]:
        partials = partial_rows(frame_of(pipeline, FIRST, rides), pipeline).filter(pl.col("by") == "zone")
        return partials.select(pl.col("minutes_count", "rows_count").sum()).row(0)

    assert counts(RIDES) == (2, 2)
    assert counts(choosy) == (1, 2)
