"""The laws that every candidate keeps, on random rows of numbers, categories and nulls."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial.bundle.parity import compare
from perennial.errors import PerennialError
from perennial.training.candidates import Candidate, GradientBoosting, Linear, Median, NeuralNet, Rows
from tests.perennial.training.candidates.corners import corners, rows_of

QUICK = [
    Median(by="zone"),
    Linear(max_categories=3),
    GradientBoosting(max_iter=5, min_samples_leaf=1, max_categories=3, smoothing=1.0),
    NeuralNet(hidden=(4,), epochs=2, batch_size=16, max_categories=3),
    Linear(name="linear_of_two", max_categories=3, keep=2),
    GradientBoosting(name="boosting_of_one", max_iter=5, min_samples_leaf=1, max_categories=3, keep=1),
    NeuralNet(name="net_of_two", hidden=(4,), epochs=2, batch_size=16, max_categories=3, keep=2),
]

numbers = st.one_of(
    st.none(),
    st.floats(width=32, allow_nan=True, allow_infinity=True),
    st.floats(-10, 10, width=32),
    st.integers(-3, 3),
)
categories = st.one_of(st.none(), st.sampled_from(["", "a", "b", "c", "ä·日", " "]), st.text(max_size=3))
frames = st.integers(1, 40).flatmap(
    lambda rows: st.fixed_dictionaries(
        {
            "distance": st.lists(numbers, min_size=rows, max_size=rows),
            "hour": st.lists(st.integers(0, 23), min_size=rows, max_size=rows),
            "zone": st.lists(categories, min_size=rows, max_size=rows),
            "label": st.lists(st.floats(-1e6, 1e6), min_size=rows, max_size=rows),
        }
    )
)


@pytest.mark.parametrize("candidate", QUICK, ids=lambda candidate: candidate.name)
class TestEveryCandidate:
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(raw=frames)
    def test_onnx_answers_as_the_fitted_model_does(
        self, candidate: Candidate, raw, declare, onnx_answers, any_objective
    ):
        rows = rows_of(raw)
        fitted = candidate.fit(rows, None, features=declare(rows.features), objective=any_objective, seed=1, rounds=3)
        frame = corners(rows)

        result = compare(fitted.predict(frame), onnx_answers(fitted.to_onnx(), frame))

        assert result.within, result
        assert result.rows == frame.height

    def test_equal_input_gives_an_equal_model(self, candidate, declare, objective, make_trips):
        rows, judged = make_trips(400), make_trips(200, seed=1)

        first, second = (
            candidate.fit(rows, judged, features=declare(rows.features), objective=objective, seed=3) for _ in "ab"
        )

        assert first.to_onnx() == second.to_onnx()
        assert first.rounds == second.rounds

    def test_a_missing_label_raises(self, candidate, declare, objective, make_trips):
        rows = make_trips(50)
        rows.label[7] = float("nan")

        with pytest.raises(PerennialError, match="found nan in row 7, expected at least one row"):
            candidate.fit(rows, None, features=declare(rows.features), objective=objective, seed=0)

    def test_no_rows_raise(self, candidate, declare, objective, make_trips):
        rows = Rows(features=make_trips(5).features.clear(), label=np.array([]))

        with pytest.raises(PerennialError, match="no rows"):
            candidate.fit(rows, None, features=declare(rows.features), objective=objective, seed=0)

    def test_other_columns_and_their_order_change_nothing(self, candidate, declare, objective, make_trips):
        rows = make_trips(200)
        fitted = candidate.fit(rows, None, features=declare(rows.features), objective=objective, seed=0)

        shuffled = rows.features.select(*reversed(rows.features.columns), pl.lit(1).alias("other"))

        np.testing.assert_array_equal(fitted.predict(rows.features), fitted.predict(shuffled))


@pytest.mark.parametrize("kind", ["number", "category"])
@pytest.mark.parametrize("candidate", QUICK[1:], ids=lambda candidate: candidate.name)
def test_learns_from_one_kind_of_feature_alone(candidate, kind, declare, objective, onnx_answers, make_trips):
    rows = make_trips(300)
    features = [feature for feature in declare(rows.features) if feature.kind == kind]

    fitted = candidate.fit(rows, None, features=features, objective=objective, seed=0)

    assert compare(fitted.predict(rows.features), onnx_answers(fitted.to_onnx(), rows.features)).within


@pytest.mark.parametrize("candidate", [Linear, GradientBoosting, NeuralNet])
def test_leaves_out_what_it_is_told_to_ignore(candidate, declare, objective, make_trips):
    import onnx

    rows = make_trips(200)
    small = {"epochs": 1} if candidate is NeuralNet else {}
    chosen = candidate(ignore=("zone", "hour"), **small)

    fitted = chosen.fit(rows, None, features=declare(rows.features), objective=objective, seed=0)

    assert [each.name for each in onnx.load_from_string(fitted.to_onnx()).graph.input] == ["distance", "weather"]
    assert chosen.needs == ("zone", "hour")  # so that a misspelt name fails when the pipeline loads


def test_refuses_to_ignore_everything(declare, objective, make_trips):
    rows = make_trips(20)

    with pytest.raises(PerennialError, match="no feature is left"):
        Linear(ignore=tuple(rows.features.columns)).fit(
            rows, None, features=declare(rows.features), objective=objective, seed=0
        )


@pytest.mark.parametrize("candidate", QUICK, ids=lambda candidate: candidate.name)
def test_a_category_of_twenty_thousand_values_stays_small(candidate, declare, objective):
    rows = Rows(
        features=pl.DataFrame({"zone": [f"pair {i}" for i in range(20_000)]}), label=np.arange(20_000, dtype=float)
    )

    fitted = candidate.fit(rows, None, features=declare(rows.features), objective=objective, seed=0, rounds=1)

    learned = 20_000 if isinstance(candidate, Median) else candidate.max_categories
    assert len(fitted.to_onnx()) < 4_000 + 40 * learned
