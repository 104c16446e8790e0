from __future__ import annotations

import numpy as np
import polars as pl

from perennial.bundle.parity import compare
from perennial.evaluation.metrics import error
from perennial.training.candidates import GradientBoosting, Linear, Rows


def test_stops_on_the_given_validation_rows_and_repeats_the_rounds_when_fitted_again(
    declare, any_objective, make_trips
):
    rows, judged = make_trips(3_000), make_trips(1_000, seed=1)
    features = declare(rows.features)
    candidate = GradientBoosting(max_iter=300, patience=5)

    stopped = candidate.fit(rows, judged, features=features, objective=any_objective, seed=0)
    again = candidate.fit(rows, None, features=features, objective=any_objective, seed=0, rounds=stopped.rounds)

    assert stopped.rounds is not None
    assert 0 < stopped.rounds < 300
    assert again.rounds == stopped.rounds
    np.testing.assert_allclose(again.predict(judged.features), stopped.predict(judged.features))


def test_the_learning_curve_is_in_units_of_the_metric(declare, any_objective, make_trips):
    rows, judged = make_trips(1_000), make_trips(500, seed=1)

    fitted = GradientBoosting(max_iter=20).fit(
        rows, judged, features=declare(rows.features), objective=any_objective, seed=0
    )

    last = error(judged.label, fitted.predict(judged.features), metric=any_objective.metric)
    assert fitted.curve is not None
    assert len(fitted.curve.validation) == len(fitted.curve.train) == fitted.rounds
    np.testing.assert_allclose(fitted.curve.validation[-1], last, rtol=1e-6)


def test_learns_more_than_a_linear_model(declare, objective, make_trips):
    rows, judged = make_trips(4_000), make_trips(1_000, seed=1)
    features = declare(rows.features)

    errors = [
        error(
            judged.label,
            candidate.fit(rows, judged, features=features, objective=objective, seed=0).predict(judged.features),
            metric="mae",
        )
        for candidate in (GradientBoosting(max_iter=100), Linear())
    ]

    assert errors[0] < 0.8 * errors[1]


def test_neighbouring_float32_values_fall_on_the_same_side_in_onnx(declare, objective, onnx_answers):
    one = np.float32(1.0)
    neighbours = np.array([np.nextafter(one, np.float32(0)), one, np.nextafter(one, np.float32(2))])
    for low, high in ((0, 1), (1, 2)):
        x = np.repeat([neighbours[low], neighbours[high]], 50)
        rows = Rows(features=pl.DataFrame({"x": x}), label=np.repeat([0.0, 100.0], 50))

        fitted = GradientBoosting(max_iter=3, min_samples_leaf=1).fit(
            rows, None, features=declare(rows.features), objective=objective, seed=0
        )

        asked = pl.DataFrame({"x": neighbours})
        answers = fitted.predict(asked)
        assert answers[low] < answers[high]
        assert compare(answers, onnx_answers(fitted.to_onnx(), asked)).within


def test_a_rare_category_is_drawn_towards_the_mean(declare, objective):
    rows = Rows(features=pl.DataFrame({"zone": ["often"] * 1_000 + ["once"]}), label=np.array([10.0] * 1_000 + [1e4]))

    fitted = GradientBoosting(smoothing=20.0).fit(
        rows, None, features=declare(rows.features), objective=objective, seed=0
    )

    (lookup,) = fitted.inputs.lookups
    assert lookup.values["once"] < 0.06 * 1e4
    assert lookup.default == np.float32(rows.label.mean())
