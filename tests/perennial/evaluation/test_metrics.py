from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.evaluation.metrics import day_blocks, error, measure, measure_all, measure_slices, paired_difference
from perennial.objective import ErrorCost, Regression, ShareWithin
from perennial.policies import Slice

metrics = st.sampled_from(["mae", "rmse"])
judged = st.integers(2, 60).flatmap(
    lambda rows: st.tuples(
        *(st.lists(st.floats(-1e3, 1e3), min_size=rows, max_size=rows).map(np.array) for _ in range(3)),
        st.lists(st.integers(0, 6), min_size=rows, max_size=rows).map(np.array),
    )
)


def days_of_errors(draw: np.random.Generator, days: int) -> tuple[np.ndarray, ...]:
    """Two models whose errors share the day's luck but are equally large in the long run."""
    rows = draw.poisson(draw.choice([40, 120], days)) + 5
    day = np.repeat(np.arange(days), rows)
    luck = draw.normal(0, 0.5, days)[day]
    label = np.zeros(len(day))
    ours = 5 + luck + draw.normal(0, 1, len(day))
    theirs = 5 - luck + draw.normal(0, 1, len(day))
    return label, ours, theirs, day


class TestIntervals:
    @pytest.mark.parametrize("metric", ["mae", "rmse"])
    @pytest.mark.parametrize("days", [5, 7, 10, 30])
    def test_equal_models_are_seldom_told_apart(self, days, metric):
        """Better promotes when the interval lies below zero: 2.5 % of the time at 95 % confidence."""
        draw = np.random.default_rng(days)
        trials = 500

        promoted = sum(
            paired_difference(*days_of_errors(draw, days), metric=metric, seed=trial).gap.high < 0
            for trial in range(trials)
        )

        # 2.5 % is nominal; 500 trials at a true 4 % exceed 6 % once in a hundred
        assert promoted / trials <= 0.06

    @pytest.mark.parametrize("days", [5, 7, 30])
    def test_intervals_cover_the_truth_about_as_often_as_they_say(self, days):
        draw = np.random.default_rng(days + 100)
        trials = 500

        covered = 0
        for trial in range(trials):
            gap = paired_difference(*days_of_errors(draw, days), metric="mae", seed=trial).gap
            covered += gap.low <= 0 <= gap.high

        assert 0.90 <= covered / trials <= 0.99

    @pytest.mark.parametrize("metric", ["mae", "rmse"])
    def test_a_really_better_model_is_found(self, metric):
        draw = np.random.default_rng(1)
        label, ours, theirs, day = days_of_errors(draw, 14)

        found = paired_difference(label, ours - 1.5, theirs, day, metric=metric)

        assert found.gap.high < 0

    def test_rows_of_one_day_are_not_counted_as_independent(self):
        draw = np.random.default_rng(2)
        label, ours, theirs, day = days_of_errors(draw, 20)

        by_day = paired_difference(label, ours, theirs, day, metric="mae").gap
        by_row = paired_difference(label, ours, theirs, np.arange(len(day)), metric="mae").gap

        assert by_day.high - by_day.low > 3 * (by_row.high - by_row.low)

    @given(rows=judged, metric=metrics)
    def test_one_day_has_no_interval(self, rows, metric):
        label, ours, theirs, day = rows

        gap = paired_difference(label, ours, theirs, np.zeros_like(day), metric=metric).gap

        assert gap.days == 1
        assert math.isnan(gap.low)
        assert math.isnan(gap.high)

    def test_more_confidence_is_a_wider_interval(self):
        rows = days_of_errors(np.random.default_rng(3), 8)

        narrow, wide = (paired_difference(*rows, metric="mae", confidence=c).gap for c in (0.8, 0.99))

        assert wide.low < narrow.low < narrow.high < wide.high


class TestLaws:
    @given(rows=judged, metric=metrics, seed=st.integers(0, 9))
    def test_the_difference_turns_its_sign_when_the_models_change_places(self, rows, metric, seed):
        label, ours, theirs, day = rows

        forth = paired_difference(label, ours, theirs, day, metric=metric, seed=seed)
        back = paired_difference(label, theirs, ours, day, metric=metric, seed=seed)

        np.testing.assert_allclose(forth.gap.value, -back.gap.value)
        np.testing.assert_allclose(forth.gap.low, -back.gap.high, atol=1e-9)
        assert (forth.ours, forth.theirs) == (back.theirs, back.ours)

    @given(rows=judged, metric=metrics)
    def test_a_model_does_not_differ_from_itself(self, rows, metric):
        label, ours, _, day = rows

        gap = paired_difference(label, ours, ours, day, metric=metric).gap

        assert gap.value == 0
        assert not gap.high < 0

    @given(rows=judged, metric=metrics, seed=st.integers(0, 9))
    def test_the_order_of_the_rows_and_the_names_of_the_days_do_not_matter(self, rows, metric, seed):
        label, ours, _, day = rows
        order = np.random.default_rng(seed).permutation(len(day))

        first = measure(label, ours, day, metric=metric, seed=seed)
        second = measure(label[order], ours[order], day[order] + 1_000, metric=metric, seed=seed)

        np.testing.assert_allclose(first.value, second.value)
        np.testing.assert_allclose([first.low, first.high], [second.low, second.high], rtol=1e-6, atol=1e-6)

    @given(rows=judged, metric=metrics, by=st.floats(0.01, 100))
    @settings(max_examples=50)
    def test_errors_that_grow_everywhere_alike_never_look_better(self, rows, metric, by):
        _, ours, theirs, day = rows
        label = np.zeros(len(day))

        before = paired_difference(label, np.abs(ours), theirs, day, metric=metric).gap
        after = paired_difference(label, np.abs(ours) + by, theirs, day, metric=metric).gap

        assert after.value > before.value - 1e-9
        if metric == "mae":
            assert not after.high < before.high - 1e-6

    @given(rows=judged, metric=metrics)
    def test_a_prediction_that_is_no_number_leaves_no_evidence(self, rows, metric):
        label, ours, theirs, day = rows
        ours[0] = np.nan

        difference = paired_difference(label, ours, theirs, day, metric=metric)

        assert math.isnan(difference.ours)
        assert math.isnan(difference.gap.value)
        assert not difference.gap.high < 0

    def test_the_same_seed_gives_the_same_interval(self):
        rows = days_of_errors(np.random.default_rng(4), 9)

        assert paired_difference(*rows, metric="rmse", seed=1) == paired_difference(*rows, metric="rmse", seed=1)


def test_measures_of_four_rows_are_what_one_computes_by_hand():
    objective = Regression(goal=1.0, unit="minutes", kpi=ShareWithin(2), error_cost=ErrorCost(under=3.0, over=1.0))
    label, prediction = np.array([10.0, 10, 10, 10]), np.array([12.0, 7, 10, 14])

    found = measure_all(label, prediction, np.array([1, 1, 2, 2]), objective=objective)

    assert {name: measured.value for name, measured in found.items()} == {
        "mae": 9 / 4,
        "rmse": math.sqrt(29 / 4),
        "kpi": 0.5,
        "cost": (2 + 9 + 4) / 4,
        "bias": 3 / 4,
    }
    assert {(measured.rows, measured.days) for measured in found.values()} == {(4, 2)}


def test_a_day_is_a_day_on_the_local_clock():
    instants = pl.Series(
        [datetime(2023, 1, 2, 4, 59, tzinfo=UTC), datetime(2023, 1, 2, 5, 1, tzinfo=UTC)],
        dtype=pl.Datetime("us", "UTC"),
    )

    before, after = day_blocks(instants, "America/New_York")
    assert after == before + 1
    assert len(set(day_blocks(instants, "UTC").tolist())) == 1


def test_slices_are_measured_on_their_own_rows():
    rows = pl.DataFrame({"zone": ["a", "a", "b"], "label": [1.0, 2.0, 3.0]})
    slices = [Slice(name=zone, where=pl.col("zone") == zone, limit=1.0) for zone in "abc"]

    found = measure_slices(rows, slices, np.array([2.0, 2.0, 9.0]), metric="mae")

    assert (found["a"].value, found["a"].rows) == (0.5, 2)
    assert (found["b"].value, found["b"].rows) == (6.0, 1)
    assert found["c"].rows == 0
    assert math.isnan(found["c"].value)


@given(rows=judged)
def test_the_root_of_the_mean_square_is_at_least_the_mean_absolute_error(rows):
    label, ours, _, _ = rows

    assert error(label, ours, metric="rmse") >= error(label, ours, metric="mae") * (1 - 1e-9)
