"""What the tests of candidates share: an objective, features of a frame, and ONNX as a server runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest

from perennial.featurization.expressions import Feature, declare_features
from perennial.objective import Regression, ShareWithin
from perennial.training.candidates import Rows


def features_of(frame: pl.DataFrame) -> tuple[Feature, ...]:
    return declare_features([pl.col(name) for name in frame.columns], frame.schema, where="test")


def run_onnx(model: bytes, frame: pl.DataFrame) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options)
    feed = {}
    for needed in session.get_inputs():
        column = frame.get_column(needed.name)
        if needed.type == "tensor(string)":
            values = np.array(column.fill_null("").to_list(), dtype=object)
        else:
            assert needed.type == "tensor(float)"
            values = column.fill_null(float("nan")).to_numpy()
        feed[needed.name] = values.reshape(-1, 1)
    (answers,) = session.run(["prediction"], feed)
    assert answers.dtype == np.float32
    assert answers.shape == (frame.height, 1)
    return answers[:, 0]


def trips(rows: int, seed: int = 0) -> Rows:
    """Minutes of trips that depend on distance, hour and zone; nulls in the distance and the weather."""
    draw = np.random.default_rng(seed)
    zone = draw.zipf(1.6, rows) % 400
    hour = draw.integers(0, 24, rows)
    distance = draw.gamma(2, 2, rows)
    label = 5 + 3 * distance + 4 * np.sin(hour / 4) + zone % 7 + draw.normal(0, 1, rows)
    hidden = pl.Series(draw.random(rows) < 0.05)
    features = pl.DataFrame(
        {
            "distance": pl.Series(distance, dtype=pl.Float32).set(hidden, None),
            "hour": pl.Series(hour, dtype=pl.Float32),
            "zone": [f"zone {number}" for number in zone],
            "weather": pl.Series(draw.choice(["dry", "rain"], rows)).set(hidden, None),
        }
    )
    return Rows(features=features, label=label)


@pytest.fixture(params=["mae", "rmse"])
def any_objective(request: pytest.FixtureRequest) -> Regression:
    return Regression(metric=request.param, goal=1.0, unit="minutes", kpi=ShareWithin(5))


@pytest.fixture
def objective() -> Regression:
    return Regression(goal=1.0, unit="minutes", kpi=ShareWithin(5))


@pytest.fixture
def declare() -> Callable[[pl.DataFrame], Sequence[Feature]]:
    return features_of


@pytest.fixture
def onnx_answers() -> Callable[[bytes, pl.DataFrame], np.ndarray]:
    return run_onnx


@pytest.fixture
def make_trips() -> Callable[..., Rows]:
    return trips
