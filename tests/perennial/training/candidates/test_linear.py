from __future__ import annotations

import numpy as np
import polars as pl

from perennial.evaluation.metrics import error
from perennial.training.candidates import Linear, Median, Rows


def test_finds_the_coefficients_of_a_linear_world(declare, objective):
    draw = np.random.default_rng(0)
    x = draw.normal(50, 10, 2_000).astype(np.float32)
    zone = draw.choice(["a", "b"], 2_000)
    rows = Rows(features=pl.DataFrame({"x": x, "zone": zone}), label=2.0 * x + np.where(zone == "a", 30.0, 0.0))

    fitted = Linear(alpha=1e-6).fit(rows, None, features=declare(rows.features), objective=objective, seed=0)

    np.testing.assert_allclose(fitted.predict(rows.features), rows.label, atol=0.01)


def test_a_category_beyond_the_most_frequent_counts_as_none(declare, objective):
    rows = Rows(features=pl.DataFrame({"zone": ["a"] * 5 + ["b"] * 3 + ["c"]}), label=np.arange(9.0))

    fitted = Linear(max_categories=2).fit(rows, None, features=declare(rows.features), objective=objective, seed=0)

    rare, unseen, missing = fitted.predict(pl.DataFrame({"zone": ["c", "never seen", None]}))
    assert rare == unseen == missing


def test_a_request_beyond_what_was_seen_is_answered_as_the_nearest_seen(declare, objective, make_trips):
    rows = make_trips(500)
    fitted = Linear().fit(rows, None, features=declare(rows.features), objective=objective, seed=0)

    greatest = rows.features["distance"].max()
    asked = rows.features.head(3).with_columns(distance=pl.Series([greatest, 279_000, float("inf")], dtype=pl.Float32))
    asked = asked.with_columns(hour=pl.lit(3, pl.Float32), zone=pl.lit("zone 1"), weather=pl.lit("dry"))

    assert len(set(fitted.predict(asked).tolist())) == 1


def test_learns_more_than_the_rule_of_thumb(declare, objective, make_trips):
    rows, judged = make_trips(2_000), make_trips(1_000, seed=1)
    features = declare(rows.features)

    errors = [
        error(
            judged.label,
            candidate.fit(rows, None, features=features, objective=objective, seed=0).predict(judged.features),
            metric="mae",
        )
        for candidate in (Linear(), Median(by="zone"))
    ]

    assert errors[0] < 0.6 * errors[1]


def test_agrees_with_the_ridge_of_scikit_learn(declare, objective, make_trips):
    from sklearn.linear_model import Ridge

    rows = make_trips(1_000)
    numbers = rows.features.select("distance", "hour").fill_null(strategy="mean")
    scaled = (numbers.to_numpy() - numbers.to_numpy().mean(axis=0)) / numbers.to_numpy().std(axis=0)

    fitted = Linear(alpha=7.0).fit(
        Rows(features=numbers, label=rows.label), None, features=declare(numbers), objective=objective, seed=0
    )

    np.testing.assert_allclose(
        fitted.predict(numbers), Ridge(alpha=7.0).fit(scaled, rows.label).predict(scaled), atol=1e-4
    )
