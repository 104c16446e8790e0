"""Classification: each measure is what scikit-learn, or a slow and obvious oracle, says it is."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perennial.evaluation.blocks import draw_days
from perennial.evaluation.classification import (
    CLIP,
    bins_of,
    brier_scores,
    confusion_flags,
    log_losses,
    measure_decisions,
    roc_auc,
)
from perennial.evaluation.metrics import Measure, error, measure, measure_all, paired_difference
from perennial.objective import BinaryClassification, DecisionCost, ShareOfDecisions

LATE = BinaryClassification(goal=0.5, positive="late", threshold=0.5)
chances = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]))
judged = st.integers(2, 60).flatmap(
    lambda rows: st.tuples(
        st.lists(st.integers(0, 1), min_size=rows, max_size=rows).map(lambda drawn: np.array(drawn, dtype=np.float64)),
        st.lists(chances, min_size=rows, max_size=rows).map(np.array),
        st.lists(st.integers(0, 6), min_size=rows, max_size=rows).map(np.array),
    )
)


def decided(label: np.ndarray, prediction: np.ndarray, days: np.ndarray, objective=LATE) -> dict[str, Measure]:
    return measure_decisions(label, prediction, days, objective=objective, confidence=0.95, seed=0)


def days_of_lates(draw: np.random.Generator, days: int, noise: float = 0.0) -> tuple[np.ndarray, ...]:
    """Calibrated probabilities of rows whose days differ in luck; with `noise` in the log odds a worse model."""
    rows = draw.poisson(60, days) + 5
    day = np.repeat(np.arange(days), rows)
    odds = draw.normal(0, 1.5, len(day)) + draw.normal(0, 0.4, days)[day]
    label = (draw.random(len(day)) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    worse = 1 / (1 + np.exp(-(odds + draw.normal(0, noise, len(day)))))
    return label, 1 / (1 + np.exp(-odds)), worse, day


class TestAgainstScikitLearn:
    @given(rows=judged)
    def test_log_loss(self, rows):
        from sklearn.metrics import log_loss

        label, prediction, _ = rows

        found = error(label, prediction, metric="log_loss")

        np.testing.assert_allclose(
            found, log_loss(label, np.clip(prediction, CLIP, 1 - CLIP), labels=[0, 1]), rtol=1e-7, atol=1e-12
        )

    @given(rows=judged)
    def test_brier_score(self, rows):
        from sklearn.metrics import brier_score_loss

        label, prediction, _ = rows

        found = error(label, prediction, metric="brier")

        np.testing.assert_allclose(found, brier_score_loss(label, prediction, labels=[0, 1]), atol=1e-12)

    @given(rows=judged)
    def test_area_under_the_roc_curve(self, rows):
        from sklearn.metrics import roc_auc_score

        label, prediction, days = rows
        assume(0 < label.sum() < len(label))

        np.testing.assert_allclose(roc_auc(label, prediction, days).value, roc_auc_score(label, prediction), atol=1e-12)

    @given(rows=judged, cut=st.sampled_from([0.1, 0.25, 0.5, 0.9]))
    def test_precision_recall_and_f1_of_either_class(self, rows, cut):
        from sklearn.metrics import precision_recall_fscore_support

        label, prediction, days = rows
        found = decided(label, prediction, days, BinaryClassification(goal=1, positive="late", threshold=cut))

        scores = precision_recall_fscore_support(label, prediction >= cut, labels=[1, 0], zero_division=np.nan)
        for (number, prefix), (row, name) in product(
            enumerate(["", "negative_"]), enumerate(["precision", "recall", "f1"])
        ):
            np.testing.assert_allclose(found[prefix + name].value, scores[row][number], atol=1e-12)


class TestOracles:
    @given(rows=judged)
    def test_the_area_is_the_share_of_pairs_that_are_in_order(self, rows):
        label, prediction, days = rows
        pairs = list(product(prediction[label == 1], prediction[label == 0]))

        found = roc_auc(label, prediction, days).value

        if pairs:
            np.testing.assert_allclose(found, np.mean([(a > b) + (a == b) / 2 for a, b in pairs]), atol=1e-12)
        else:
            assert math.isnan(found)

    @given(rows=judged)
    @settings(max_examples=5)
    def test_the_interval_of_the_area_is_that_of_drawing_whole_days_of_rows_again(self, rows):
        from scipy.stats import t
        from sklearn.metrics import roc_auc_score

        label, prediction, days = rows
        names = np.unique(days)
        assume(len(names) > 1)
        assume(0 < label.sum() < len(label))

        found = roc_auc(label, prediction, days, seed=3)

        areas = []
        for weights in draw_days(len(names), seed=3)[:300]:
            drawn = np.concatenate([np.tile(np.flatnonzero(days == n), w) for n, w in zip(names, weights, strict=True)])
            if 0 < label[drawn].sum() < len(drawn):
                areas.append(roc_auc_score(label[drawn], prediction[drawn]))
        if len(areas) > 250:
            scale = t.ppf(0.975, len(names) - 1) * math.sqrt(len(names) / (len(names) - 1))
            expected = np.std(areas, ddof=1) * scale
            np.testing.assert_allclose(found.high - found.value, expected, rtol=0.35, atol=0.02 * scale)

    @given(rows=judged)
    def test_the_calibration_error_is_the_gap_of_each_bin_by_its_rows(self, rows):
        label, prediction, days = rows

        found = decided(label, prediction, days)

        expected = 0.0
        for number in range(10):
            low, high = number / 10, (number + 1) / 10
            inside = (np.floor(prediction * 10) == number) | ((prediction == 1) & (number == 9))
            if inside.any():
                assert low - 1e-9 <= prediction[inside].min() <= prediction[inside].max() <= high + 1e-9
                expected += inside.mean() * abs(prediction[inside].mean() - label[inside].mean())
        np.testing.assert_allclose(found["calibration_error"].value, expected, atol=1e-12)
        np.testing.assert_allclose(found["bias"].value, (prediction - label).mean(), atol=1e-12)
        assert found["calibration_error"].value >= abs(found["bias"].value) - 1e-12

    @given(rows=judged)
    def test_each_row_is_in_one_cell_of_the_confusion_table(self, rows):
        label, prediction, _ = rows

        cells = confusion_flags(label, prediction, 0.25)

        np.testing.assert_array_equal(sum(cells.values()), np.ones(len(label)))
        np.testing.assert_array_equal(cells["true positive"] + cells["false negative"], label)


def test_decisions_of_eight_rows_are_what_one_computes_by_hand():
    objective = BinaryClassification(
        goal=0.5,
        positive="late",
        error_cost=DecisionCost(false_positive=1.0, false_negative=4.0),
        kpi=ShareOfDecisions("recall", "late dinners that we warned of"),
    )
    label = np.array([1.0, 1, 1, 0, 0, 0, 0, 0])
    prediction = np.array([0.9, 0.2, 0.1, 0.3, 0.25, 0.1, 0.0, 0.19])

    found = decided(label, prediction, np.array([1, 1, 1, 1, 2, 2, 2, 2]), objective)

    assert objective.cut == 0.2
    values = {name: measured.value for name, measured in found.items()}
    assert values["kpi"] == values["recall"] == 2 / 3
    assert values["precision"] == 2 / 4
    assert values["negative_recall"] == 3 / 5
    assert values["cost"] == (2 * 1.0 + 1 * 4.0) / 8
    np.testing.assert_allclose(values["bias"], prediction.mean() - label.mean())
    assert {(measured.rows, measured.days) for measured in found.values()} == {(8, 2)}


def test_all_measures_of_a_classification_stand_beside_its_metrics():
    label, prediction, _, days = days_of_lates(np.random.default_rng(0), 10)

    found = measure_all(label, prediction, days, objective=LATE)

    assert list(found) == [
        *("log_loss", "brier", "roc_auc", "calibration_error", "bias", "kpi", "cost"),
        *("precision", "recall", "f1", "negative_precision", "negative_recall", "negative_f1"),
    ]
    assert all(measured.low < measured.value < measured.high for measured in found.values())
    assert {name: LATE.describe(name) for name in found if LATE.describe(name) == name} == {}


class TestProbabilities:
    def test_a_certain_answer_that_is_wrong_costs_no_more_than_the_clip(self):
        losses = log_losses(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]))

        np.testing.assert_allclose(losses, [-math.log(CLIP), -math.log(CLIP), 1e-7], rtol=1e-6)
        assert np.finfo(np.float32).epsneg < CLIP  # a float32 beside 1 is told from 1

    @pytest.mark.parametrize("wrong", [-0.01, 1.01, math.nan, math.inf])
    @pytest.mark.parametrize("metric", ["log_loss", "brier"])
    def test_a_number_that_is_no_probability_leaves_no_evidence(self, wrong, metric):
        label, prediction, other, days = days_of_lates(np.random.default_rng(0), 5, noise=3.0)
        prediction[3] = wrong

        gap = paired_difference(label, prediction, other, days, metric=metric).gap
        found = measure_all(label, prediction, days, objective=LATE)

        assert math.isnan(gap.value)
        assert not gap.high < 0
        assert [name for name, measured in found.items() if not math.isnan(measured.value)] == []

    @given(rows=judged, metric=st.sampled_from(["log_loss", "brier"]))
    def test_only_the_share_of_positives_minimises_the_metric_of_a_constant(self, rows, metric):
        label, _, _ = rows
        best = error(label, np.full(len(label), label.mean()), metric=metric)

        assert all(error(label, np.full(len(label), p), metric=metric) >= best - 1e-6 for p in np.linspace(0, 1, 21))

    @given(prediction=chances)
    def test_a_probability_lies_in_the_bin_of_its_tenth(self, prediction):
        (found,) = bins_of(np.array([prediction]))

        assert found / 10 - 1e-9 <= prediction <= (found + 1) / 10 + 1e-9

    def test_labels_and_predictions_may_be_of_any_number_type(self):
        np.testing.assert_allclose(brier_scores(np.array([1, 0]), np.array([0.5, 0.5], dtype=np.float32)), [0.25, 0.25])


class TestIntervals:
    def test_a_share_of_nothing_is_unknown_and_not_zero(self):
        label, days = np.array([0.0, 0, 0, 0]), np.array([1, 1, 2, 2])

        found = decided(label, np.array([0.1, 0.2, 0.3, 0.4]), days)

        for name in ("roc_auc", "precision", "recall", "f1"):
            assert math.isnan(found[name].value)
            assert math.isnan(found[name].low)
        assert found["negative_recall"].value == found["kpi"].value == 1.0

    def test_a_day_without_positives_does_not_make_the_interval_unknown(self):
        label, days = np.array([1.0, 0, 0, 0, 1, 0]), np.array([1, 1, 2, 2, 3, 3])

        found = roc_auc(label, np.array([0.9, 0.1, 0.2, 0.95, 0.4, 0.3]), days)

        assert found.low < found.value < found.high

    def test_one_day_has_no_interval(self):
        label, prediction, _, day = days_of_lates(np.random.default_rng(0), 3)

        found = measure_all(label, prediction, np.zeros_like(day), objective=LATE)

        assert {measured.days for measured in found.values()} == {1}
        assert all(math.isnan(measured.low) and math.isfinite(measured.value) for measured in found.values())

    @pytest.mark.parametrize("metric", ["log_loss", "brier"])
    def test_the_interval_covers_the_long_run_about_as_often_as_it_says(self, metric):
        label, prediction, _, day = days_of_lates(np.random.default_rng(9), 20_000)
        truth = error(label, prediction, metric=metric)
        area = roc_auc(label[:200_000], prediction[:200_000], day[:200_000] // 500).value
        trials, covered, ranked = 300, 0, 0

        for trial in range(trials):
            some = days_of_lates(np.random.default_rng(trial), 20)
            found = measure(some[0], some[1], some[3], metric=metric, seed=trial)
            ranks = roc_auc(some[0], some[1], some[3], seed=trial)
            covered += found.low <= truth <= found.high
            ranked += ranks.low <= area <= ranks.high

        assert 0.91 <= covered / trials <= 0.99
        assert 0.91 <= ranked / trials <= 0.995

    @given(rows=judged, seed=st.integers(0, 9))
    def test_the_order_of_the_rows_and_the_names_of_the_days_do_not_matter(self, rows, seed):
        label, prediction, days = rows
        order = np.random.default_rng(seed).permutation(len(days))

        first, second = decided(label, prediction, days), decided(label[order], prediction[order], days[order] + 100)

        for name, found in first.items():
            ours, theirs = ([m.value, m.low, m.high] for m in (found, second[name]))
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
