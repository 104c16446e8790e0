"""Prediction: one object answers in batch and online, and answers alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.bundle.bundle import open_bundle, seal
from perennial.errors import BundleError
from perennial.prediction.request import FieldError
from perennial.prediction.scoring import Predictor, refuse_other_lookups
from tests.bundles import (
    LOOKED_UP,
    an_instance,
    answer_by_hand,
    looking_up_bundle,
    rows_of,
    small_bundle,
    small_pipeline,
)

MEAN, COUNT = LOOKED_UP.aggregates
CHANGED: dict[str, Any] = {"days": 8, "default": 1.0, "how": "max"}
PREDICTOR = Predictor(open_bundle(small_bundle(2.0)))

instances = st.builds(
    an_instance,
    st.integers(0, 500),
    distance=st.floats(-1e6, 1e6),
    seats=st.integers(-1000, 1000),
    zone=st.text(max_size=3) | st.sampled_from(["north", "nor"]),
    note=st.none() | st.sampled_from(["th", ""]),
    meters=st.none() | st.integers(-(2**63), 2**63 - 1),
)


@given(st.lists(instances, max_size=8))
def test_answers_are_those_of_the_model_by_hand(asked: list[dict[str, Any]]) -> None:
    answers = PREDICTOR.predict(rows_of(PREDICTOR, asked))

    by_hand = [answer_by_hand(2.0, instance) for instance in asked]
    assert answers.dtype == np.float64
    assert np.allclose(answers, by_hand, rtol=1e-6, atol=1e-4)


@given(st.lists(instances, min_size=1, max_size=8))
def test_rows_together_are_answered_as_each_alone(asked: list[dict[str, Any]]) -> None:
    together = PREDICTOR.predict(rows_of(PREDICTOR, asked))

    alone = [PREDICTOR.predict(rows_of(PREDICTOR, [instance]))[0] for instance in asked]
    assert together.tolist() == alone


def test_golden_rows_get_the_answers_that_came_with_them() -> None:
    golden = PREDICTOR.bundle.golden

    assert np.allclose(PREDICTOR.predict(golden), golden["prediction"].to_numpy())


def test_a_null_number_is_nan_and_a_null_text_is_empty_at_the_models_door() -> None:
    features = PREDICTOR.featurize(rows_of(PREDICTOR, [an_instance()])).with_columns(
        distance=pl.lit(None, pl.Float32), place=pl.lit(None, pl.String)
    )

    assert np.isnan(PREDICTOR.score(features)).all()


def test_predicted_rows_keep_their_key_and_name_version_and_bundle() -> None:
    rows = PREDICTOR.bundle.golden.drop("prediction").with_row_index("ride_id")

    predicted = PREDICTOR.predict_rows(rows, key=["ride_id", "at_door", "at_door"], version=3)

    assert predicted.columns == ["ride_id", "at_door", "version", "bundle", "prediction"]
    assert predicted["version"].to_list() == [3] * 40
    assert predicted["bundle"].unique().to_list() == [PREDICTOR.bundle.sha256]
    assert predicted["prediction"].to_list() == PREDICTOR.predict(rows).tolist()


def test_parsing_refuses_what_does_not_fit() -> None:
    with pytest.raises(FieldError, match="distance"):
        rows_of(PREDICTOR, [an_instance(distance="far")])


def test_a_model_that_reads_no_feature_of_the_bundle_is_refused() -> None:
    files = small_bundle()
    manifest = open_bundle(files).manifest
    renamed = files | {"features.json": files["features.json"].replace(b'"name": "place"', b'"name": "spot"')}

    with pytest.raises(BundleError, match="place"):
        Predictor(open_bundle(seal(renamed, manifest)))


@pytest.mark.parametrize(
    "changes", [{"aggregates": ()}, *({"aggregates": [replace(MEAN, **{n: v}), COUNT]} for n, v in CHANGED.items())]
)
def test_a_bundle_whose_lookups_are_declared_otherwise_today_predicts_no_batch(changes: dict[str, Any]) -> None:
    bundle = open_bundle(looking_up_bundle())

    refuse_other_lookups(bundle, LOOKED_UP)
    with pytest.raises(
        BundleError, match=r"lookups as of 2024-01-31: it looks up zone_mean_7d.* Hint: perennial train"
    ):
        refuse_other_lookups(bundle, replace(LOOKED_UP, **changes))


def test_a_bundle_without_lookups_predicts_whatever_is_declared() -> None:
    refuse_other_lookups(open_bundle(small_bundle()), replace(small_pipeline(), aggregates=[MEAN]))
