"""Maturity: what is not known yet is counted, and nothing is learned from a partition that is not complete."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.declaration import Pipeline
from perennial.errors import NoMatureLabels
from perennial.labels.maturity import (
    DelayCurve,
    completeness,
    delay_curve,
    delays,
    early_means,
    is_mature,
    lag,
    mature_since,
    newest_mature,
    within_reach,
)
from perennial.policies import Maturity, Windows
from perennial.time import days
from pipelines.delivery_eta import delivery_eta

START = datetime(2024, 1, 1, tzinfo=UTC)
KEY = ["order_id"]


def maturing(rule: timedelta | Maturity | None, *, train: int = 2) -> Pipeline:
    label = replace(delivery_eta.label, mature_after=rule)
    calendar = replace(delivery_eta.time, timezone="UTC", known_after=timedelta(0))
    return replace(delivery_eta, label=label, time=calendar, windows=Windows(train=train))


def timeline(*rows: tuple[float, float | None]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that happen `day` days after the start, each with its outcome after `delay` days, or never."""
    at = [START + timedelta(days=day) for day, _ in rows]
    frame = pl.DataFrame(
        {
            "order_id": range(len(rows)),
            "partition": [f"{moment:%Y-%m-%d}" for moment in at],
            "event_time": pl.Series(at, dtype=pl.Datetime("us", "UTC")),
            "known_at": pl.Series(
                [
                    None if delay is None else moment + timedelta(days=delay)
                    for moment, (_, delay) in zip(at, rows, strict=True)
                ],
                dtype=pl.Datetime("us", "UTC"),
            ),
        }
    )
    return frame.drop("known_at"), frame.drop("event_time").drop_nulls("known_at")


def as_of(day: float) -> datetime:
    return START + timedelta(days=day)


def test_an_outcome_after_the_as_of_is_a_delay_that_is_not_over() -> None:
    rows, labels = timeline((0, 1), (0, 5), (1, None), (9, 0))

    found = delays(rows, labels, key=KEY, as_of=as_of(3))

    assert found.select("age", "known").rows() == [(days(1), True), (days(3), False), (days(2), False)]


def test_the_curve_is_the_product_limit_estimate() -> None:
    # At age 1 one of 4 is known; one leaves unfinished at age 2; at age 3 one of the 2 that still wait is known.
    rows, labels = timeline((7, 1), (8, None), (6, 3), (5, None))

    curve = delay_curve(delays(rows, labels, key=KEY, as_of=as_of(10)))

    assert list(curve.ages) == [days(1), days(3)]
    assert list(curve.shares) == pytest.approx([1 / 4, 1 - 3 / 4 * 1 / 2])
    assert (curve.share(days(0.5)), curve.share(days(400))) == (0.0, curve.shares[-1])


def test_young_rows_do_not_look_like_slow_ones() -> None:
    # Every outcome takes 10 days. A plain share of known outcomes falls with each young row; the curve does not.
    rows, labels = timeline(*[(day / 10, 10.0) for day in range(200)])

    found = delays(rows, labels, key=KEY, as_of=as_of(20))

    assert found["known"].mean() == pytest.approx(0.505)
    assert delay_curve(found).share(days(10)) == 1.0
    assert delay_curve(found).share(days(9.9)) == 0.0


@given(st.lists(st.tuples(st.integers(0, 40), st.one_of(st.none(), st.integers(0, 60))), min_size=1, max_size=60))
def test_the_curve_rises_between_zero_and_one_and_is_the_plain_share_once_nothing_waits(
    rows: list[tuple[int, int | None]],
) -> None:
    found = delays(*timeline(*rows), key=KEY, as_of=as_of(41))
    curve = delay_curve(found)

    assert list(curve.shares) == sorted(curve.shares)
    assert all(0 < share <= 1 + 1e-12 for share in curve.shares)
    finished = delays(*timeline(*rows), key=KEY, as_of=as_of(1_000)).filter("known")
    if finished.height:
        done = delay_curve(finished)
        for age in (0, 7, 30):
            plain = finished.select((pl.col("age") <= days(age)).mean()).item()
            assert done.share(days(age)) == pytest.approx(plain)


def test_a_partition_is_as_complete_as_its_known_outcomes_and_expects_what_the_curve_says() -> None:
    pipeline = maturing(Maturity(completeness=0.6))
    rows, labels = timeline((0, 1), (0.5, 1), (0.5, 30), (2, 0.5), (2.5, 1), (2, 2))
    found = delays(rows, labels, key=KEY, as_of=as_of(3))
    curve = DelayCurve([days(1), days(3)], [0.5, 0.9])

    states = completeness(pipeline, found, as_of=as_of(3), curve=curve)

    first, second = states["2024-01-01"], states["2024-01-03"]
    assert (first.rows, first.known, first.mature) == (3, 2, True)
    assert first.expected == pytest.approx((0.9 + 0.5 + 0.5) / 3)
    assert (second.rows, second.known, second.mature) == (3, 1, False)
    assert second.expected == pytest.approx(2 * 0.5 / 3)


@pytest.mark.parametrize(
    ("rule", "share", "day", "mature"),
    [
        (None, 0.0, 1, True),
        (days(10), 1.0, 10.9, False),
        (days(10), 0.0, 11, True),
        (Maturity(completeness=0.9, at_latest=days(10)), 0.89, 10.9, False),
        (Maturity(completeness=0.9, at_latest=days(10)), 0.9, 1, True),
        (Maturity(completeness=0.9, at_latest=days(10)), 0.0, 11, True),
    ],
)
def test_mature_is_by_age_or_by_completeness_and_at_the_latest_by_age(
    rule: timedelta | Maturity | None, share: float, day: float, *, mature: bool
) -> None:
    assert is_mature(maturing(rule), "2024-01-01", share, as_of=as_of(day)) is mature


def test_the_window_ends_with_the_newest_partition_after_which_none_is_needed() -> None:
    pipeline = maturing(Maturity(completeness=0.9))
    shares = dict.fromkeys(pipeline.time.keys("2024-01-01", "2024-01-06"), 0.95) | {"2024-01-05": 0.5}

    assert newest_mature(pipeline, "2024-01-06", shares) == "2024-01-04"
    assert newest_mature(pipeline, "2024-01-06", shares | {"2024-01-05": 0.9}) == "2024-01-06"
    assert newest_mature(maturing(None), "2024-01-06", {}) == "2024-01-06"
    assert newest_mature(maturing(days(1)), "2024-01-06", {}) == "2024-01-05"


def test_without_a_window_of_mature_partitions_the_first_that_lacks_outcomes_is_named() -> None:
    pipeline = maturing(Maturity(completeness=0.9, at_latest=days(30)))
    shares = dict.fromkeys(pipeline.time.keys("2024-01-01", "2024-01-06"), 0.95) | {"2024-01-03": 0.5}

    with pytest.raises(NoMatureLabels) as no:
        newest_mature(pipeline, "2024-01-06", shares | {"2024-01-06": 0.1})

    for word in (
        "delivery_eta as of 2024-01-06",
        "50.0% of the outcomes of 2024-01-03",
        "90% of the outcomes",
        "30 days",
    ):
        assert word in str(no.value)


rules = st.one_of(
    st.none(),
    st.integers(0, 20).map(days),
    st.builds(lambda c, late: Maturity(completeness=c, at_latest=days(late)), st.floats(0.01, 1), st.integers(0, 20)),
)


@given(rule=rules, shares=st.lists(st.floats(0, 1), min_size=30, max_size=30), position=st.integers(0, 29))
def test_no_immature_partition_is_ever_in_a_window_and_no_later_window_is_mature(
    rule: timedelta | Maturity | None, shares: list[float], position: int
) -> None:
    pipeline = maturing(rule)
    keys = pipeline.time.keys("2024-01-01", "2024-01-30")
    by_key, length = dict(zip(keys, shares, strict=True)), pipeline.windows.length
    instant = pipeline.time.known_at(keys[position])
    mature = [is_mature(pipeline, key, by_key[key], as_of=instant) for key in keys]
    ends = [end for end in range(length - 1, position + 1) if all(mature[end - length + 1 : end + 1])]

    if position < length - 1:
        assert newest_mature(pipeline, keys[position], by_key) == keys[position]  # too short: split_keys says so
    elif ends:
        assert newest_mature(pipeline, keys[position], by_key) == keys[max(ends)]
        assert position - max(ends) <= lag(pipeline)
    else:
        with pytest.raises(NoMatureLabels):
            newest_mature(pipeline, keys[position], by_key)
    assert set(within_reach(pipeline, keys[position])) <= set(keys[: position + 1])


def test_the_first_outcomes_have_a_mean_of_their_own() -> None:
    rows, labels = timeline((0, 1), (0, 40), (1, 2), (1, None))
    labels = labels.join(rows, on=["order_id", "partition"]).with_columns(label=pl.Series([1.0, 0.0, 1.0]))

    means = early_means(labels, [days(30)])

    assert means["known within 30 days"] == {"2024-01-01": 1.0, "2024-01-02": 1.0}
    assert means["all known"] == {"2024-01-01": 0.5, "2024-01-02": 1.0}


@given(
    rule=rules,
    took=st.lists(st.one_of(st.none(), st.integers(0, 25)), min_size=1, max_size=30),
)
def test_a_partition_is_mature_from_that_instant_on_and_not_before(
    rule: timedelta | Maturity | None, took: list[int | None]
) -> None:
    pipeline = maturing(rule)
    known_at = pl.Series([None if t is None else as_of(t) for t in took], dtype=pl.Datetime("us", "UTC"))

    since = mature_since(pipeline, "2024-01-01", rows=len(took), known_at=known_at)

    def holds(at: datetime) -> bool:
        share = sum(known <= at for known in known_at.drop_nulls()) / len(took)
        return is_mature(pipeline, "2024-01-01", share, as_of=at)

    if since is None:
        assert rule is None
    elif since > START:  # before the partition began nothing is known of it
        assert holds(since)
        assert not holds(since - timedelta(microseconds=1))
