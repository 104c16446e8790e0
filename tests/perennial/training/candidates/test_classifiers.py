"""The laws that every classifier keeps: probabilities, alike in ONNX, and honest about its labels."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial.bundle.parity import compare
from perennial.errors import PerennialError
from perennial.evaluation.metrics import error
from perennial.objective import BinaryClassification
from perennial.training.candidates import BaseRate, Candidate, GradientBoosting, Linear, NeuralNet, Rows
from tests.perennial.training.candidates.corners import corners, rows_of

QUICK = [
    BaseRate(by="zone", smoothing=1.0),
    Linear(max_categories=3),
    GradientBoosting(max_iter=5, min_samples_leaf=1, max_categories=3, smoothing=1.0),
    NeuralNet(hidden=(4,), epochs=2, batch_size=16, max_categories=3),
]
numbers = st.one_of(st.none(), st.floats(width=32, allow_nan=True, allow_infinity=True), st.integers(-3, 3))
categories = st.one_of(st.none(), st.sampled_from(["", "a", "b", "c", "ä·日", " "]), st.text(max_size=3))
frames = st.integers(2, 40).flatmap(
    lambda rows: st.fixed_dictionaries(
        {
            "distance": st.lists(numbers, min_size=rows, max_size=rows),
            "hour": st.lists(st.integers(0, 23), min_size=rows, max_size=rows),
            "zone": st.lists(categories, min_size=rows, max_size=rows),
            "label": st.lists(st.integers(0, 1), min_size=rows, max_size=rows).map(lambda drawn: [0, 1, *drawn[2:]]),
        }
    )
)


@pytest.fixture(params=["log_loss", "brier"])
def any_classification(request: pytest.FixtureRequest) -> BinaryClassification:
    return BinaryClassification(metric=request.param, goal=0.5, positive="late")


@pytest.fixture
def classification() -> BinaryClassification:
    return BinaryClassification(goal=0.5, positive="late")


@pytest.fixture
def make_late(make_trips):
    """Trips that are late the more probably the longer they take."""

    def make(rows: int, seed: int = 0) -> Rows:
        drawn = make_trips(rows, seed=seed)
        likely = 1 / (1 + np.exp(-(drawn.label - 15) / 3))
        late = np.random.default_rng(seed + 100).random(rows) < likely
        return Rows(features=drawn.features, label=late.astype(np.float64))

    return make


@pytest.mark.parametrize("candidate", QUICK, ids=lambda candidate: candidate.name)
class TestEveryClassifier:
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(raw=frames)
    def test_onnx_gives_the_fitted_models_own_probabilities(
        self, candidate: Candidate, raw, declare, onnx_answers, classification
    ):
        rows = rows_of(raw)
        fitted = candidate.fit(rows, None, features=declare(rows.features), objective=classification, seed=1, rounds=3)
        frame = corners(rows)

        answers = fitted.predict(frame)

        assert answers.dtype == np.float64
        assert ((answers >= 0) & (answers <= 1)).all()
        result = compare(answers, onnx_answers(fitted.to_onnx(), frame))
        assert result.within, result
        assert result.rows == frame.height

    def test_learns_more_than_the_share_of_all(self, candidate, declare, any_classification, make_late):
        rows, judged = make_late(4_000), make_late(2_000, seed=1)

        fitted = candidate.fit(rows, judged, features=declare(rows.features), objective=any_classification, seed=0)

        metric = any_classification.metric
        ours = error(judged.label, fitted.predict(judged.features), metric=metric)
        assert ours < error(judged.label, np.full(len(judged), rows.label.mean()), metric=metric)

    def test_equal_input_gives_an_equal_model(self, candidate, declare, classification, make_late):
        rows, judged = make_late(400), make_late(200, seed=1)

        first, second = (
            candidate.fit(rows, judged, features=declare(rows.features), objective=classification, seed=3) for _ in "ab"
        )

        assert first.to_onnx() == second.to_onnx()
        assert first.rounds == second.rounds

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_labels_of_one_class_raise(self, candidate, value, declare, classification, make_late):
        rows = make_late(50)
        rows.label[:] = value

        with pytest.raises(PerennialError, match=f"found only the label {value:g}, in 50 rows, expected rows of"):
            candidate.fit(rows, None, features=declare(rows.features), objective=classification, seed=0)

    @pytest.mark.parametrize("value", [2.0, 0.5, -1.0])
    def test_a_label_that_is_no_class_raises(self, candidate, value, declare, classification, make_late):
        rows = make_late(50)
        rows.label[7] = value

        with pytest.raises(PerennialError, match=f"found {value:g} in row 7, expected 0 or 1 in each row"):
            candidate.fit(rows, None, features=declare(rows.features), objective=classification, seed=0)

    def test_validation_rows_of_one_class_are_no_obstacle(self, candidate, declare, classification, make_late):
        rows, judged = make_late(300), make_late(40, seed=1)
        judged.label[:] = 0.0

        fitted = candidate.fit(rows, judged, features=declare(rows.features), objective=classification, seed=0)

        assert np.isfinite(fitted.predict(judged.features)).all()


@pytest.mark.parametrize("candidate", [GradientBoosting(max_iter=30), NeuralNet(epochs=3)], ids=lambda c: c.name)
def test_the_learning_curve_is_the_log_loss_whatever_the_metric(candidate, declare, any_classification, make_late):
    rows, judged = make_late(1_000), make_late(500, seed=1)

    fitted = candidate.fit(rows, judged, features=declare(rows.features), objective=any_classification, seed=0)

    assert fitted.curve is not None
    assert fitted.curve.loss == (None if any_classification.metric == "log_loss" else "log_loss")
    kept = fitted.curve.validation[fitted.rounds - 1]
    ours = error(judged.label, fitted.predict(judged.features), metric="log_loss")
    np.testing.assert_allclose(kept, ours, rtol=1e-5)


@pytest.mark.parametrize("candidate", [GradientBoosting(patience=5), NeuralNet(patience=2)], ids=lambda c: c.name)
def test_stops_on_the_validation_rows_and_repeats_the_rounds(candidate, declare, classification, make_late):
    rows, judged = make_late(3_000), make_late(1_000, seed=1)
    features = declare(rows.features)

    stopped = candidate.fit(rows, judged, features=features, objective=classification, seed=0)
    again = candidate.fit(rows, None, features=features, objective=classification, seed=0, rounds=stopped.rounds)

    assert again.rounds == stopped.rounds
    np.testing.assert_allclose(again.predict(judged.features), stopped.predict(judged.features), atol=1e-6)


def test_the_base_rate_of_a_group_is_drawn_towards_that_of_all(declare, classification):
    rows = Rows(
        features=pl.DataFrame({"zone": ["a"] * 80 + ["b"] * 19 + ["once"]}),
        label=np.array([1.0] * 40 + [0.0] * 40 + [0.0] * 19 + [1.0]),
    )

    fitted = BaseRate(by="zone", smoothing=20.0).fit(
        rows, None, features=declare(rows.features), objective=classification, seed=0
    )

    overall = 0.41
    expected = [(40 + 20 * overall) / 100, (20 * overall) / 39, (1 + 20 * overall) / 21, overall, overall]
    answers = fitted.predict(pl.DataFrame({"zone": ["a", "b", "once", "never seen", None]}))
    np.testing.assert_allclose(answers, expected, atol=1e-6)


def test_the_base_rate_of_a_number_is_refused(declare, classification, make_late):
    rows = make_late(50)

    with pytest.raises(PerennialError, match=r"found by='hour', expected a category \(zone, weather\)"):
        BaseRate(by="hour").fit(rows, None, features=declare(rows.features), objective=classification, seed=0)


@pytest.mark.parametrize("alpha", [0.5, 20.0])
def test_linear_agrees_with_the_logistic_regression_of_scikit_learn(alpha, declare, classification, make_late):
    from sklearn.linear_model import LogisticRegression

    rows = make_late(1_000)
    numbers = rows.features.select("distance", "hour").fill_null(strategy="mean")
    scaled = (numbers.to_numpy() - numbers.to_numpy().mean(axis=0)) / numbers.to_numpy().std(axis=0)

    fitted = Linear(alpha=alpha).fit(
        Rows(features=numbers, label=rows.label), None, features=declare(numbers), objective=classification, seed=0
    )

    oracle = LogisticRegression(C=1 / alpha, solver="lbfgs", tol=1e-10, max_iter=1_000).fit(scaled, rows.label)
    np.testing.assert_allclose(fitted.predict(numbers), oracle.predict_proba(scaled)[:, 1], atol=1e-4)


def test_classes_that_a_number_tells_apart_are_told_apart_with_a_finite_weight(declare, classification, onnx_answers):
    x = np.linspace(-1, 1, 200, dtype=np.float32)
    rows = Rows(features=pl.DataFrame({"x": x}), label=(x > 0).astype(np.float64))

    for candidate in (Linear(), Linear(alpha=1e-3), GradientBoosting(), NeuralNet()):
        fitted = candidate.fit(rows, None, features=declare(rows.features), objective=classification, seed=0)

        answers = fitted.predict(rows.features)
        assert np.isfinite(answers).all()
        assert compare(answers, onnx_answers(fitted.to_onnx(), rows.features)).within
        assert ((answers > 0.5) == (x > 0)).mean() > 0.95
