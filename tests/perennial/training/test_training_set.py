"""Training: forward in time, one row a key, and only labels known by the as-of instant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import Windows
from perennial.declaration import Pipeline
from perennial.errors import HistoryTooShort, NoMatureLabels
from perennial.training.training_set import SPLITS, TrainingSet, build_training_set, split_keys
from pipelines.delivery_eta import delivery_eta
from pipelines.taxi_eta import taxi_eta

SHORT = replace(delivery_eta, windows=Windows(train=2, validation=1, test=1))
AS_OF = "2024-01-10"
KEYS = split_keys(SHORT, AS_OF)
INSTANT = SHORT.time.known_at(AS_OF)
HOUR = timedelta(hours=1)

Row = tuple[str, str, int, float, int]
"""Partition, key, hours after the partition's start, label, hours from the event to its being known."""


def frames(rows: list[Row]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A features and a labels table; a row whose delay is below zero has no label."""
    starts = [SHORT.time.window(partition).start + hours * HOUR for partition, _, hours, _, _ in rows]
    utc = pl.Datetime("us", "UTC")
    features = pl.DataFrame(
        {
            "order_id": [row[1] for row in rows],
            "partition": [row[0] for row in rows],
            "event_time": pl.Series(starts, dtype=utc),
            "known_at": pl.Series([SHORT.time.known_at(row[0]) for row in rows], dtype=utc),
            "items": pl.Series([row[2] for row in rows], dtype=pl.Float32),
        },
        schema_overrides={"order_id": pl.String, "partition": pl.String},
    )
    known = pl.Series([at + row[4] * HOUR for at, row in zip(starts, rows, strict=True)], dtype=utc)
    labels = features.select("order_id", "partition", "event_time").with_columns(
        known_at=known,
        label=pl.Series([row[3] for row in rows], dtype=pl.Float64),
        source=pl.lit("rows"),
        confidence=pl.lit(1.0),
    )
    return features, labels.filter(pl.Series([row[4] >= 0 for row in rows], dtype=pl.Boolean))


def build(rows: list[Row]) -> TrainingSet:
    features, labels = frames(rows)
    return build_training_set(SHORT, features=features, labels=labels, keys=KEYS, as_of=INSTANT)


ONE_EACH: list[Row] = [(key, f"sure {key}", 12, 30.0, 0) for key in KEYS.all]
ROWS = st.lists(
    st.tuples(
        st.sampled_from(KEYS.all),
        st.sampled_from("abcde"),
        st.integers(0, 23),
        st.floats(1, 99),
        st.integers(-3, 120),
    ),
    max_size=40,
)


def slow_oracle(rows: list[Row]) -> tuple[list[tuple[str, str, float, float]], int]:
    """Key by key, as a person would with the tables on paper: partition, key, item number, label; and the doubtful."""
    found, doubtful = [], 0
    for partition, key in {row[:2] for row in rows}:
        mine = [row for row in rows if row[:2] == (partition, key)]
        start = SHORT.time.window(partition).start
        labels = {
            (hours, label)
            for *_, hours, label, delay in mine
            if delay >= 0 and start + (hours + delay) * HOUR <= INSTANT
        }
        if len({hours for *_, hours, _, _ in mine}) > 1 or len(labels) > 1:
            doubtful += 1
        else:
            found += [(partition, key, float(hours), label) for hours, label in labels]
    return sorted(found), doubtful


@given(rows=ROWS)
def test_the_rows_are_those_of_a_slow_oracle(rows: list[Row]) -> None:
    rows = [*ONE_EACH, *rows, *rows[:3]]

    made = build(rows)

    found = made.frame.select("partition", "order_id", "items", "label").rows()
    assert (sorted(found), made.contradicted) == slow_oracle(rows)
    keys = len({(row[0], row[1]) for row in rows})
    assert made.duplicates == len(rows) - keys
    assert made.immature == keys - made.contradicted - len(found)


def test_of_two_rows_with_one_key_the_last_that_was_known_by_then_counts() -> None:
    features, labels = frames(
        [*ONE_EACH, (KEYS.test[0], "corrected", 9, 20.0, 0), (KEYS.test[0], "corrected", 9, 20.0, 0)]
    )
    later = pl.int_range(pl.len()) == features.height - 1
    features = features.with_columns(
        items=pl.when(later).then(7).otherwise("items").cast(pl.Float32),
        known_at=pl.when(later).then(pl.lit(INSTANT)).otherwise(pl.col("known_at") - HOUR),
    )

    def items(as_of: datetime) -> list[float]:
        made = build_training_set(SHORT, features=features, labels=labels, keys=KEYS, as_of=as_of)
        assert made.contradicted == 0
        return made.frame.filter(pl.col("order_id") == "corrected")["items"].to_list()

    assert items(INSTANT) == [7.0]
    assert items(INSTANT - HOUR) == [9.0]


def test_two_corrections_of_one_row_in_one_file_are_both_left_out_and_counted() -> None:
    """Nothing tells which of them holds, and the first row's features may not be paired with the second's label."""
    day = KEYS.test[0]
    rows: list[Row] = [*ONE_EACH, (day, "twice", 9, 20.0, -1), (day, "twice", 10, 45.0, 0), (day, "same", 9, 20.0, 0)]

    made = build([*rows, rows[-1]])

    assert made.frame.filter(pl.col("order_id") == "twice").is_empty()
    assert made.frame.filter(pl.col("order_id") == "same").height == 1
    assert (made.contradicted, made.duplicates) == (1, 2)


def test_a_label_of_too_little_confidence_is_left_out_and_counted() -> None:
    day = KEYS.test[0]
    features, labels = frames([*ONE_EACH, (day, "unsure", 9, 20.0, 0), (day, "later", 9, 20.0, 999)])
    sure = pl.when(pl.col("order_id") == "unsure").then(0.49).otherwise(0.5)
    choosy = replace(SHORT, label=replace(SHORT.label, min_confidence=0.5))

    made = build_training_set(
        choosy, features=features, labels=labels.with_columns(confidence=sure), keys=KEYS, as_of=INSTANT
    )

    assert made.frame["order_id"].to_list() == [row[1] for row in ONE_EACH]
    assert (made.unsure, made.immature, made.contradicted) == (1, 1, 0)
    assert "confidence" not in made.frame.columns


def test_who_told_a_label_and_how_surely_changes_nothing_of_what_is_learned() -> None:
    day = KEYS.test[0]
    features, labels = frames([*ONE_EACH, (day, "twice", 9, 20.0, 0), (day, "twice", 9, 20.0, 0)])
    number = pl.int_range(pl.len())
    other = labels.with_columns(source=number.cast(pl.String), confidence=1 / (1 + number))

    plain, told = (
        build_training_set(SHORT, features=features, labels=each, keys=KEYS, as_of=INSTANT) for each in (labels, other)
    )

    assert (plain.contradicted, told.contradicted) == (0, 0)
    assert told.content_hash == plain.content_hash


def test_of_rows_with_times_of_their_own_the_last_that_was_known_by_then_gives_the_label_or_takes_it_back() -> None:
    day = KEYS.test[0]
    timed = replace(SHORT, time=replace(SHORT.time, row_known_at="ordered_at"))
    features, labels = frames(
        [
            *ONE_EACH,
            (day, "corrected", 9, 20.0, 0),
            (day, "taken back", 9, 20.0, 0),
            (day, "corrected", 9, 35.0, 0),
            (day, "taken back", 9, 20.0, -1),
        ]
    )

    def dated(frame: pl.DataFrame, later: int) -> pl.DataFrame:
        is_later = pl.int_range(pl.len()) >= pl.len() - later
        first = pl.min_horizontal("known_at", pl.lit(INSTANT - HOUR))
        return frame.with_columns(known_at=pl.when(is_later).then(pl.lit(INSTANT)).otherwise(first))

    features, labels = dated(features, 2), dated(labels, 1)
    # What a row says is not known before the row is: `label_rows` sees to it.
    labels = labels.with_columns(known_at=pl.max_horizontal("known_at", pl.lit(INSTANT - HOUR)))

    def told(as_of: datetime) -> tuple[dict[str, float], int]:
        made = build_training_set(timed, features=features, labels=labels, keys=KEYS, as_of=as_of)
        assert made.contradicted == 0
        rows = made.frame.filter(~pl.col("order_id").str.starts_with("sure"))
        return dict(rows.select("order_id", "label").rows()), made.immature

    assert told(INSTANT - HOUR) == ({"corrected": 20.0, "taken back": 20.0}, 0)
    assert told(INSTANT) == ({"corrected": 35.0}, 1)


@given(rows=ROWS)
def test_no_label_is_used_that_was_not_known_by_the_as_of_instant(rows: list[Row]) -> None:
    features, labels = frames([*ONE_EACH, *rows])
    late = labels.filter(pl.col("known_at") > INSTANT)
    untouched = build_training_set(SHORT, features=features, labels=labels, keys=KEYS, as_of=INSTANT)

    changed = labels.with_columns(
        label=pl.when(pl.col("known_at") > INSTANT).then(pl.col("label") + 1_000).otherwise(pl.col("label"))
    )
    blind = labels.filter(pl.col("known_at") <= INSTANT)

    assert late.height + blind.height == labels.height
    for other in (changed, blind):
        made = build_training_set(SHORT, features=features, labels=other, keys=KEYS, as_of=INSTANT)
        assert made.content_hash == untouched.content_hash


@given(rows=ROWS, seed=st.integers(0, 9))
def test_the_content_hash_repeats_and_sees_a_change(rows: list[Row], seed: int) -> None:
    rows = [*ONE_EACH, *rows]
    made = build(rows)

    assert build(rows).content_hash == made.content_hash
    other = [(*row[:3], row[3] + 1, row[4]) for row in rows]
    assert build(other).content_hash != made.content_hash


@given(rows=ROWS)
def test_splits_share_no_row_and_follow_each_other_in_time(rows: list[Row]) -> None:
    made = build([*ONE_EACH, *rows])

    parts = [made.rows(split) for split in SPLITS]
    assert sum(part.height for part in parts) == made.frame.height
    for before, after in pairwise(parts):
        assert before["event_time"].max() < after["event_time"].min()  # type: ignore[operator]
    assert made.frame["event_time"].is_sorted()


@settings(max_examples=40)
@given(
    train=st.integers(1, 40),
    validation=st.integers(1, 9),
    test=st.integers(1, 9),
    later=st.integers(0, 600),
    pipeline=st.sampled_from([delivery_eta, taxi_eta]),
)
def test_a_window_is_cut_forward_in_time_without_gap_or_overlap(
    train: int, validation: int, test: int, later: int, pipeline: Pipeline
) -> None:
    windows = Windows(train=train, validation=validation, test=test)
    declared = replace(pipeline, windows=windows, time=replace(pipeline.time, end=None))
    history = declared.time.keys(declared.time.start, "2025-06-30" if pipeline is delivery_eta else "2040-12")
    as_of = history[later % len(history)]
    position = history.index(as_of) + 1

    if position < windows.length:
        with pytest.raises(HistoryTooShort) as caught:
            split_keys(declared, as_of)
        for word in (f"{declared.name} as of {as_of}", f"found {position} partitions", f"at least {windows.length}"):
            assert word in str(caught.value)
        return
    keys = split_keys(declared, as_of)

    assert list(keys.all) == history[position - windows.length : position]
    assert (len(keys.train), len(keys.validation), len(keys.test)) == (train, validation, test)
    assert keys.fitted + keys.test == keys.all


def test_as_of_december_means_the_instant_december_ends_december_included() -> None:
    keys = split_keys(taxi_eta, "2023-12")

    assert keys.test == ("2023-12",)
    assert taxi_eta.time.known_at("2023-12") == datetime(2024, 1, 1, 5, tzinfo=UTC)


def test_a_label_that_was_known_at_the_very_instant_counts_and_one_a_moment_later_does_not() -> None:
    features, labels = frames([*ONE_EACH, (AS_OF, "edge", 1, 9.0, 1)])
    edge = pl.col("order_id") == "edge"

    def rows_when_known(at: datetime) -> int:
        moved = labels.with_columns(known_at=pl.when(edge).then(pl.lit(at)).otherwise(pl.col("known_at")))
        return build_training_set(SHORT, features=features, labels=moved, keys=KEYS, as_of=INSTANT).frame.height

    assert rows_when_known(INSTANT) == len(ONE_EACH) + 1
    assert rows_when_known(INSTANT + timedelta(microseconds=1)) == len(ONE_EACH)


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_without_a_known_label_is_a_clear_refusal(split: str) -> None:
    empty = getattr(KEYS, split)
    unknown = [(*row[:4], -1 if row[0] in empty else 0) for row in ONE_EACH]

    with pytest.raises(NoMatureLabels) as caught:
        build(unknown)

    for word in ("delivery_eta as of 2024-01-11", f"the {split} split", f"0 labelled rows in {empty[0]}", "known_at"):
        assert word in str(caught.value)
