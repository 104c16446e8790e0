"""What a model can learn from the city: the demo stands on these margins."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from world.city import City

START = date(2024, 3, 4)
NUMBERS = ["distance_km", "log_distance", "hour", "weekday", "rush", "items", "open_orders", "temperature_c"]
NUMBERS += ["courier_deliveries"]
CATEGORIES = ["restaurant", "zone", "cuisine", "courier_vehicle", "weather"]


def rows(city: City, first: date, count: int) -> pl.DataFrame:
    at = pl.col("ordered_at").dt
    return pl.concat([city.orders(first + timedelta(days=number)) for number in range(count)]).with_columns(
        minutes=(pl.col("delivered_at") - pl.col("ordered_at")).dt.total_seconds() / 60,
        log_distance=pl.col("distance_km").log1p(),
        hour=at.hour(),
        weekday=at.weekday(),
        rush=((at.hour() >= 17) & (at.hour() < 19) & (at.weekday() <= 5)).cast(float),
    )


def fit(train: pl.DataFrame, numbers: Any, categories: Any, model: Any) -> Any:
    prepared = ColumnTransformer([("categories", categories, CATEGORIES), ("numbers", numbers, NUMBERS)])
    return make_pipeline(prepared, model).fit(train.to_pandas(), train["minutes"].to_numpy())


def straight(train: pl.DataFrame) -> Any:
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return fit(train, make_pipeline(SimpleImputer(), StandardScaler()), one_hot, Ridge())


def boosting(train: pl.DataFrame) -> Any:
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    trees = HistGradientBoostingRegressor(max_iter=100, categorical_features=list(range(len(CATEGORIES))))
    with threadpool_limits(1):  # OpenMP's threads wait for each other where tests share the cores
        return fit(train, "passthrough", codes, trees)


def error(model: Any, test: pl.DataFrame) -> float:
    return float(np.abs(model.predict(test.to_pandas()) - test["minutes"].to_numpy()).mean())


@pytest.fixture(scope="module", params=[7, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3, 4))])
def city(request: pytest.FixtureRequest) -> City:
    return City(seed=request.param, drift_start=START)


def test_boosting_beats_linear_beats_the_median(city: City) -> None:
    train, test = rows(city, START - timedelta(days=42), 35), rows(city, START - timedelta(days=7), 7)

    medians = test.join(train.group_by("restaurant").agg(usual=pl.median("minutes")), on="restaurant")
    median = float((medians["usual"] - medians["minutes"]).abs().mean())  # type: ignore[arg-type]
    linear, boosted = error(straight(train), test), error(boosting(train), test)

    assert linear < 0.8 * median
    assert boosted < 0.9 * linear
    assert boosted < 0.75 * median
    assert boosted < 3.0


def test_drift_hurts_an_old_model_and_a_week_of_it_mends_a_new_one(city: City) -> None:
    calm, drifted = rows(city, START - timedelta(days=7), 7), rows(city, START + timedelta(days=14), 7)

    old = boosting(rows(city, START - timedelta(days=42), 35))
    new = boosting(rows(city, START - timedelta(days=28), 35))

    assert error(old, drifted) > 1.4 * error(old, calm)
    assert error(new, drifted) < 0.8 * error(old, drifted)
