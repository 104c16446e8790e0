"""Fitting: candidates learn on train, the best learns again on train and validation, and no one sees the test."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import GradientBoosting, Linear, Median
from perennial.bundle.onnx_model import answer_with_onnx
from perennial.bundle.parity import compare
from perennial.errors import PerennialError
from perennial.featurization.expressions import featurize
from perennial.ingestion.landing import Arrival, land
from perennial.training.fitting import answers, choose, fit_again, fit_candidate, parameters_of, rows_of
from perennial.validation.verdicts import split_rows
from pipelines.delivery_eta import delivery_eta
from world.city import City
from world.files import told_orders

SPLITS = {"2024-01-01": "train", "2024-01-02": "train", "2024-01-03": "validation", "2024-01-04": "test"}
BOOSTING = GradientBoosting()
PIPELINE = replace(delivery_eta, aggregates=(), candidates=[Median(by="restaurant"), Linear(), BOOSTING])


@pytest.fixture(scope="module")
def raw() -> pl.DataFrame:
    """Accepted rows of four days."""
    city, at = City(), datetime(2024, 2, 1, tzinfo=UTC)
    landed = [
        land(
            PIPELINE,
            Arrival(
                partition=day,
                rows=told_orders(city, date.fromisoformat(day)),
                uri="",
                sha256="",
                size=1,
                signature="",
                fetched_at=at,
            ),
        ).frame
        for day in SPLITS
    ]
    return split_rows(pl.concat(landed), PIPELINE.expectations, PIPELINE.time).accepted


@pytest.fixture(scope="module")
def training_set(raw: pl.DataFrame) -> pl.DataFrame:
    split = raw["partition"].replace_strict(SPLITS).alias("split")
    return featurize(raw, PIPELINE.checked_features).with_columns(
        split, raw.select(label=PIPELINE.label.value)["label"]
    )


@pytest.mark.parametrize("candidate", PIPELINE.candidates, ids=lambda candidate: candidate.name)
def test_nobody_sees_the_sealed_test(candidate: Median | Linear | GradientBoosting, training_set: pl.DataFrame) -> None:
    sealed = pl.col("split") == "test"
    spoiled = training_set.with_columns(label=pl.when(sealed).then(9_999.0).otherwise(pl.col("label")))

    trial, blind = (fit_candidate(PIPELINE, candidate, rows) for rows in (training_set, spoiled))
    final, unseen = (
        fit_again(PIPELINE, candidate, rows, rounds=trial.fitted.rounds) for rows in (training_set, spoiled)
    )

    assert blind.metrics == trial.metrics
    assert unseen.to_onnx() == final.to_onnx()


@pytest.mark.parametrize("candidate", [Linear(keep=5), GradientBoosting(keep=5)], ids=lambda candidate: candidate.name)
def test_features_are_selected_on_the_rows_to_learn_from_and_judged_like_any(
    candidate: Linear | GradientBoosting, raw: pl.DataFrame, training_set: pl.DataFrame
) -> None:
    learned = pl.col("split") == "train"
    told = pl.when(learned).then("label").otherwise(pl.col("items") * 1_000.0)
    spoiled = training_set.with_columns(label=told)  # elsewhere nothing but the number of items tells anything

    trial, other = (fit_candidate(PIPELINE, candidate, rows) for rows in (training_set, spoiled))
    final = fit_again(PIPELINE, candidate, training_set, rounds=trial.fitted.rounds)

    names = [feature.name for feature in trial.fitted.used]
    assert (len(names), [feature.name for feature in other.fitted.used]) == (5, names)
    assert {"distance_km", "restaurant"} <= set(names)
    assert trial.metrics["validation_mae"] < 6
    golden = raw.head(200)
    theirs = answer_with_onnx(final.to_onnx(), featurize(golden, PIPELINE.checked_features))
    assert compare(answers(final, golden, PIPELINE), theirs).within


def test_metrics_are_the_errors_on_the_splits_that_a_candidate_may_see(training_set: pl.DataFrame) -> None:
    trial = fit_candidate(PIPELINE, Linear(), training_set)

    assert set(trial.metrics) == {"train_mae", "train_rmse", "validation_mae", "validation_rmse"}
    rows = rows_of(training_set.filter(pl.col("split") == "validation"), PIPELINE)
    residuals = np.abs(trial.fitted.predict(rows.features) - rows.label)
    assert trial.metrics["validation_mae"] == pytest.approx(residuals.mean())


def test_the_model_that_ships_learns_from_validation_too(training_set: pl.DataFrame) -> None:
    trial = fit_candidate(PIPELINE, Median(by="restaurant"), training_set)
    final = fit_again(PIPELINE, Median(by="restaurant"), training_set, rounds=None)
    seen = training_set.filter(pl.col("split") != "test")

    medians = dict(seen.group_by("restaurant").agg(pl.col("label").median()).rows())
    expected = seen["restaurant"].replace_strict(medians).to_numpy()
    assert final.predict(seen) == pytest.approx(expected, rel=1e-6)
    assert trial.fitted.predict(seen) != pytest.approx(expected, rel=1e-6)


def test_boosting_keeps_its_number_of_rounds(training_set: pl.DataFrame) -> None:
    trial = fit_candidate(PIPELINE, BOOSTING, training_set)

    assert trial.fitted.rounds
    assert fit_again(PIPELINE, BOOSTING, training_set, rounds=trial.fitted.rounds).rounds == trial.fitted.rounds


@pytest.mark.parametrize("candidate", PIPELINE.candidates, ids=lambda candidate: candidate.name)
def test_a_second_opinion_on_the_graph_is_the_fitted_models_own(
    candidate: Median | Linear | GradientBoosting, raw: pl.DataFrame, training_set: pl.DataFrame
) -> None:
    fitted = fit_candidate(PIPELINE, candidate, training_set).fitted
    odd = raw.with_columns(temperature_c=pl.lit(None, pl.Float64), zone=pl.lit("atlantis"))

    for rows in (raw, odd):
        theirs = answer_with_onnx(fitted.to_onnx(), featurize(rows, PIPELINE.checked_features))
        assert theirs == pytest.approx(answers(fitted, rows, PIPELINE), rel=1e-5, abs=1e-4)


NAMES = [candidate.name for candidate in PIPELINE.candidates]


@given(st.lists(st.floats(0, 99), min_size=3, max_size=3))
def test_the_least_validation_error_is_chosen_and_ties_go_to_the_first_declared(errors: list[float]) -> None:
    metrics = {name: {"validation_mae": error, "train_mae": 0.0} for name, error in zip(NAMES, errors, strict=True)}

    assert choose(PIPELINE, metrics) == NAMES[errors.index(min(errors))]
    assert choose(PIPELINE, dict(reversed(metrics.items()))) == NAMES[errors.index(min(errors))]


@pytest.mark.parametrize(
    "metrics", [{}, {"validation_mae": math.nan}, {"validation_mae": math.inf}, {"validation_rmse": 1.0}]
)
def test_a_candidate_without_an_error_is_no_choice(metrics: dict[str, float]) -> None:
    known = {"validation_mae": 1.0}

    with pytest.raises(PerennialError, match=r"no validation_mae for linear, expected a finite error") as caught:
        choose(PIPELINE, {"median": known, "linear": metrics, "gradient_boosting": known})
    assert caught.value.where == "delivery_eta"


def test_hyperparameters_are_recorded_by_name() -> None:
    assert parameters_of(Median(by="zone")) == {"by": "zone"}
    assert parameters_of(GradientBoosting(learning_rate=0.3))["learning_rate"] == 0.3
