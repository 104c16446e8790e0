"""Importance: what a model leans on is worth much, what it does not read nothing, and the same each time."""

from __future__ import annotations

import json

import polars as pl
import pytest

from perennial.bundle.bundle import open_bundle
from perennial.evaluation.importance import MOST_ROWS, Worth, from_json, measure_worth, to_json
from perennial.featurization.catalogue import catalogue_of
from perennial.prediction.scoring import Predictor
from tests.bundles import an_instance, rows_of, small_bundle, small_pipeline

PREDICTOR = Predictor(open_bundle(small_bundle(50.0)))


def rows(height: int = 300) -> pl.DataFrame:
    """Rows whose label is the model's own answer."""
    asked = rows_of(PREDICTOR, [an_instance(number) for number in range(height)])
    return asked.with_columns(label=pl.Series(PREDICTOR.predict(asked)))


def worths(frame: pl.DataFrame) -> dict[str, Worth]:
    ticks = iter(range(10_000))
    found = measure_worth(small_pipeline(), PREDICTOR, frame, timer=lambda: next(ticks) * 1e-3)
    return {worth.name: worth for worth in found}


def test_what_the_model_leans_on_is_worth_most_and_what_it_does_not_read_has_none() -> None:
    found = worths(rows())

    assert list(found) == [feature.name for feature in PREDICTOR.bundle.features]
    assert found["distance"].importance is not None
    assert found["load"].importance is not None
    assert found["distance"].importance > 10 * found["load"].importance > 0
    assert found["weight"].importance is None
    assert [worth.version for worth in found.values()] == [e.version for e in catalogue_of(small_pipeline())]


def test_the_cost_is_what_the_timer_says_of_one_row() -> None:
    assert round(worths(rows(100))["hour"].microseconds, 6) == 10.0


def test_the_same_rows_give_the_same_importance_and_many_are_a_sample() -> None:
    frame = rows()
    many = pl.concat([frame] * (MOST_ROWS // frame.height + 2))

    assert worths(frame) == worths(frame)
    assert worths(many)["hour"].microseconds == pytest.approx(1e3 / MOST_ROWS)


def test_it_survives_being_stored() -> None:
    found = tuple(worths(rows(20)).values())

    assert from_json(json.loads(to_json(found))) == found
