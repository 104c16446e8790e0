"""Feedback: the newest outcome of each prediction, however it arrives."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from perennial.stores.operations import Operations, Outcome
from perennial.stores.operations.feedback import COLUMNS


def outcome(prediction: int, label: float = 1.0) -> Outcome:
    return Outcome(prediction_id=f"id{prediction}", partition=f"2024-01-0{prediction % 3 + 1}", label=label)


def test_the_newest_outcome_of_a_prediction_counts_and_all_are_kept(operations: Operations, at: datetime) -> None:
    later = at + timedelta(minutes=5)
    operations.add_feedback("eta", [outcome(1, 5.0), outcome(4, 6.0), outcome(2, 7.0)], at=at)

    added = operations.add_feedback("eta", [outcome(1, 8.0), outcome(4, 6.0)], at=later)

    assert added == 1
    expected = pl.DataFrame(
        [("id4", "2024-01-02", 6.0, "client", 1.0, at), ("id1", "2024-01-02", 8.0, "client", 1.0, later)],
        schema=COLUMNS,
        orient="row",
    )
    assert_frame_equal(operations.feedback("eta", ["2024-01-02"]), expected)
    with operations.reading() as transaction:
        assert transaction.exec_driver_sql("SELECT count(*) FROM feedback").scalar() == 4


def test_a_later_outcome_has_a_higher_number_and_that_of_another_partition_is_not_told(
    operations: Operations, at: datetime
) -> None:
    operations.add_feedback("eta", [outcome(1, 5.0), outcome(4, 6.0), outcome(2, 7.0)], at=at)
    before = dict(operations.feedback_numbers("eta", ["2024-01-02"]).rows())
    operations.add_feedback("eta", [outcome(1, 8.0), outcome(4, 6.0)], at=at)
    after = dict(operations.feedback_numbers("eta", ["2024-01-02"]).rows())

    assert set(before) == set(after) == {"id1", "id4"}
    assert after["id4"] == before["id4"] < after["id1"]
    assert operations.feedback_numbers("fare", ["2024-01-02"]).is_empty()


def test_nothing_is_an_empty_frame_of_the_same_columns(operations: Operations, at: datetime) -> None:
    operations.add_feedback("eta", [outcome(1)], at=at)
    empty = pl.DataFrame(schema=COLUMNS)

    assert_frame_equal(operations.feedback("eta", []), empty)
    assert_frame_equal(operations.feedback("fare", ["2024-01-02"]), empty)
    assert operations.add_feedback("eta", [], at=at) == 0


def test_a_cursor_gives_each_partition_with_news_once(operations: Operations, at: datetime) -> None:
    start, none = operations.feedback_since("eta", 0)
    operations.add_feedback("eta", [outcome(1), outcome(2), outcome(4)], at=at)
    operations.add_feedback("fare", [outcome(3)], at=at)
    first, new = operations.feedback_since("eta", start)
    again = operations.feedback_since("eta", first)
    operations.add_feedback("eta", [outcome(1), outcome(2, 9.0)], at=at)
    _, corrected = operations.feedback_since("eta", first)

    assert (start, none) == (0, [])
    assert new == ["2024-01-02", "2024-01-03"]
    assert again == (first, [])
    assert corrected == ["2024-01-03"]


def test_who_says_so_and_how_surely_is_kept_and_a_change_of_either_is_news(
    operations: Operations, at: datetime
) -> None:
    guess = replace(outcome(1, 5.0), source="guest", confidence=0.4)
    said = [guess, replace(guess, confidence=0.8), replace(guess, source="courier"), guess]

    added = [operations.add_feedback("eta", [each], at=at + timedelta(minutes=n)) for n, each in enumerate(said)]
    again = operations.add_feedback("eta", [guess], at=at)

    assert (added, again) == ([1, 1, 1, 1], 0)
    newest = operations.feedback("eta", ["2024-01-02"]).select("label", "source", "confidence")
    assert newest.rows() == [(5.0, "guest", 0.4)]
    with operations.reading() as transaction:
        kept = transaction.exec_driver_sql("SELECT source, confidence FROM feedback ORDER BY id").all()
    assert [tuple(row) for row in kept] == [(each.source, each.confidence) for each in said]


@pytest.mark.parametrize("confidence", [math.nan, -0.1, 1.1])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match=f"id1: found the confidence {confidence}, expected 0 to 1"):
        replace(outcome(1), confidence=confidence)


@pytest.mark.parametrize("label", [math.nan, math.inf, -math.inf])
def test_a_label_that_is_no_number_is_refused(label: float) -> None:
    with pytest.raises(ValueError, match=f"id1: found the label {label}, expected a finite number"):
        outcome(1, label)


def test_a_batch_that_fails_is_refused_whole(operations: Operations, at: datetime) -> None:
    wrong = Outcome(prediction_id="id2", partition=None, label=1.0)  # type: ignore[arg-type]

    with pytest.raises(sa.exc.IntegrityError):
        operations.add_feedback("eta", [outcome(1), wrong], at=at)

    assert operations.feedback_since("eta", 0) == (0, [])


def test_twelve_thousand_outcomes_in_one_batch_are_kept_once(operations: Operations, at: datetime) -> None:
    many = [outcome(number) for number in range(12_000)]

    assert operations.add_feedback("eta", many, at=at) == 12_000
    assert operations.add_feedback("eta", many, at=at) == 0
    assert operations.feedback("eta", [f"2024-01-0{day}" for day in (1, 2, 3)]).height == 12_000


batches = st.lists(st.lists(st.builds(outcome, st.integers(1, 6), st.sampled_from([1.0, 2.0])), max_size=5), max_size=5)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches, st.uuids())
def test_feedback_is_what_was_said_last_of_each_prediction(
    sqlite: Operations, at: datetime, batches: list[list[Outcome]], name: object
) -> None:
    for _ in range(2):  # a client that sends its last batch again changes nothing
        for batch in batches:
            sqlite.add_feedback(str(name), batch, at=at)
        batches = batches[-1:]

    found = sqlite.feedback(str(name), ["2024-01-01", "2024-01-02", "2024-01-03"])

    said = {one.prediction_id: one.label for batch in [*batches] for one in batch}
    assert dict(found.select("prediction_id", "label").iter_rows()).items() >= said.items()
    assert found["prediction_id"].is_unique().all()
