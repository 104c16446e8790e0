"""Objective: what a pipeline may ask for, and what is refused when it is declared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import (
    BaseRate,
    BinaryClassification,
    DecisionCost,
    GradientBoosting,
    Label,
    Linear,
    Median,
    NeuralNet,
    Pipeline,
    ShareOfDecisions,
)
from perennial.errors import DeclarationError
from perennial.evaluation.metrics import METRICS
from pipelines.delivery_eta import delivery_eta

LATE = BinaryClassification(goal=0.5, positive="late")
MINUTES = delivery_eta.label.value


def late_delivery(**changes: Any) -> Pipeline:
    declared: dict[str, Any] = {
        "name": "delivery_late",
        "objective": LATE,
        "label": Label("late", value=MINUTES > 35, known_at="delivered_at"),
        "candidates": [BaseRate(by="restaurant"), Linear(), GradientBoosting(), NeuralNet()],
    }
    return replace(delivery_eta, **(declared | changes))


def test_a_classification_is_declared_like_a_regression() -> None:
    assert late_delivery().objective.metric == "log_loss"
    assert late_delivery().hash != late_delivery(objective=replace(LATE, metric="brier")).hash


@pytest.mark.parametrize("candidate", [Median(by="restaurant"), BaseRate(by="restaurant")])
def test_a_candidate_for_the_other_task_is_refused_when_the_pipeline_loads(candidate: Median | BaseRate) -> None:
    other = (
        late_delivery
        if isinstance(candidate, Median)
        else lambda candidates: replace(delivery_eta, candidates=candidates)
    )

    with pytest.raises(DeclarationError) as refused:
        other(candidates=[Linear(), candidate])

    message = str(refused.value)
    assert f"candidates[{candidate.name}]" in message
    assert f"found '{type(candidate).__name__}, which learns" in message
    task = "binary classification" if isinstance(candidate, Median) else "regression"
    assert f"expected a candidate for {task}" in message


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"goal": 0.0}, "objective.goal' does not fit, found 0.0, expected goal > 0"),
        ({"goal": float("nan")}, "objective.goal"),
        ({"metric": "mae"}, "objective.metric' does not fit, found 'mae', expected 'log_loss' or 'brier'"),
        ({"positive": " "}, "objective.positive"),
        ({"threshold": 1.0}, "objective.threshold' does not fit, found 1.0, expected 0 < threshold < 1"),
        ({"kpi": ShareOfDecisions("f1")}, "objective.kpi.measure"),  # type: ignore[arg-type]
        ({"error_cost": DecisionCost(false_negative=0.0)}, "objective.error_cost.false_negative"),
        ({"error_cost": DecisionCost(false_positive=float("inf"))}, "objective.error_cost.false_positive"),
    ],
)
def test_a_contradiction_is_refused_with_field_value_and_what_was_expected(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(DeclarationError, match="pipeline 'delivery_late'") as refused:
        late_delivery(objective=replace(LATE, **changes))

    assert named in str(refused.value)


@given(false_positive=st.floats(0.01, 100), false_negative=st.floats(0.01, 100), probability=st.floats(0, 1))
def test_at_the_default_threshold_the_cheaper_decision_is_made(
    false_positive: float, false_negative: float, probability: float
) -> None:
    cost = DecisionCost(false_positive=false_positive, false_negative=false_negative)
    objective = replace(LATE, error_cost=cost)

    if_positive, if_negative = (1 - probability) * false_positive, probability * false_negative

    if abs(if_positive - if_negative) > 1e-9:
        assert (probability >= objective.cut) == (if_positive < if_negative)
    assert replace(objective, threshold=0.3).cut == 0.3


@pytest.mark.parametrize("objective", [LATE, delivery_eta.objective])
def test_every_measure_has_words_with_its_unit(objective: Any) -> None:
    for name in (*METRICS[objective.task], "kpi", "cost", "bias"):
        assert objective.describe(name) != name
        assert "_" not in objective.describe(name)
    assert objective.describe("something else") == "something else"


def test_a_bundle_says_which_class_its_probabilities_are_of() -> None:
    assert LATE.summary() == {
        "metric": "log_loss",
        "unit": "share late",
        "goal": 0.5,
        "task": "binary classification",
        "positive": "late",
        "threshold": 0.5,
    }
    assert delivery_eta.objective.summary() == {"metric": "mae", "unit": "minutes", "goal": 3.0}
