"""Selection: a candidate that keeps few features chooses them by what the rows to learn from tell, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.objective import Regression, ShareWithin
from perennial.training.candidates import Candidate, GradientBoosting, Linear, NeuralNet, Rows
from perennial.training.candidates.selection import information
from tests.perennial.training.candidates.conftest import features_of, trips

KINDS = [Linear, GradientBoosting, NeuralNet]
ROWS = 4_000


def inputs_of(candidate: Candidate, train: Rows, validation: Rows | None, objective) -> list[str]:
    features = features_of(train.features)
    fitted = candidate.fit(train, validation, features=features, objective=objective, seed=0, rounds=1)
    inputs = [each.name for each in onnx.load_from_string(fitted.to_onnx()).graph.input]
    assert [feature.name for feature in fitted.used] == inputs
    return inputs


def worth(label: Sequence[float] | np.ndarray, *, classifies: bool = False, **columns: pl.Series) -> dict[str, float]:
    frame = pl.DataFrame(columns)
    return information(frame, np.asarray(label, dtype=float), features_of(frame), classifies=classifies)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("keep", "kept"), [(1, ["distance"]), (2, ["distance", "hour"]), (4, None)])
def test_what_tells_most_is_kept_and_nothing_else_is_an_input(kind, keep, kept, objective) -> None:
    rows = trips(ROWS)

    assert inputs_of(kind(keep=keep), rows, None, objective) == (kept or list(rows.features.columns))


def test_what_is_ignored_is_not_chosen(objective) -> None:
    assert inputs_of(Linear(keep=1, ignore=("distance",)), trips(ROWS), None, objective) == ["hour"]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=5)
@given(data=st.data())
def test_the_rows_that_judge_choose_nothing(kind, data) -> None:
    """Whatever validation holds, even rows in which only the weather tells."""
    objective = Regression(goal=1.0, unit="minutes", kpi=ShareWithin(5))
    train, judged = trips(500), trips(300, seed=data.draw(st.integers(1, 9)))
    other = Rows(
        features=judged.features.with_columns(distance=pl.lit(data.draw(st.floats(0, 50)), pl.Float32)),
        label=(judged.features["weather"].fill_null("") == "rain").to_numpy() * data.draw(st.floats(1, 1e4)),
    )
    candidate = kind(keep=2)

    assert inputs_of(candidate, train, other, objective) == inputs_of(candidate, train, judged, objective)


def test_chance_is_worth_nothing_however_many_values_it_has() -> None:
    draw = np.random.default_rng(0)
    names = pl.Series([f"guest {number}" for number in draw.integers(0, 2_000, ROWS)])
    noise = pl.Series(draw.normal(size=ROWS))

    found = worth(draw.normal(size=ROWS), names=names, noise=noise, row=pl.Series([f"{n}" for n in range(ROWS)]))

    assert max(found.values()) < 0.02, found


def test_a_rank_a_group_a_gap_and_a_hump_all_tell() -> None:
    draw = np.random.default_rng(1)
    hidden = draw.normal(size=ROWS)
    found = worth(
        np.abs(hidden),
        hump=pl.Series(hidden, dtype=pl.Float32),
        rank=pl.Series(np.exp(np.abs(hidden)), dtype=pl.Float32),
        group=pl.Series(np.where(np.abs(hidden) > 1, "far", "near")),
        gap=pl.Series([None if abs(one) > 1 else 1.0 for one in hidden], dtype=pl.Float32),
        rare=pl.Series(np.abs(hidden) > 1.9, dtype=pl.Float32),
        common=pl.Series(np.abs(hidden) < 1.9, dtype=pl.Float32),
        noise=pl.Series(draw.normal(size=ROWS), dtype=pl.Float32),
    )

    assert min(value for name, value in found.items() if name != "noise") > 0.1
    assert found["noise"] < 0.02
    assert found["group"] == pytest.approx(found["gap"], abs=0.01)


def test_a_class_is_told_from_the_other() -> None:
    draw = np.random.default_rng(2)
    label = draw.integers(0, 2, ROWS)
    sure, likely = pl.Series(label.astype(np.float32)), pl.Series((label + draw.normal(size=ROWS)).astype(np.float32))

    found = worth(label, classifies=True, sure=sure, likely=likely)

    assert found["sure"] == pytest.approx(np.log(2), abs=0.01)
    assert 0.05 < found["likely"] < found["sure"]


def test_of_equal_features_the_first_declared_is_kept(objective) -> None:
    rows = trips(300)
    twins = rows.features.select(b="distance", a="distance")

    assert inputs_of(Linear(keep=1), Rows(features=twins, label=rows.label), None, objective) == ["b"]
