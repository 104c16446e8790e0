"""Objective: what a pipeline is for, in the words of the business and as one number to minimise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

Task = Literal["regression", "binary classification"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCost:
    """What one unit of error costs, when the prediction was too low or too high."""

    under: float = 1.0
    over: float = 1.0
    unit: str = "cost units"


@dataclass(frozen=True, slots=True)
class ShareWithin:
    """Business KPI: the share of predictions that lie within `tolerance` units of the outcome."""

    tolerance: float
    meaning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """Predict a number; `metric` is minimised, and `goal` is where the business is content."""

    task: ClassVar[Task] = "regression"

    metric: Literal["mae", "rmse"] = "mae"
    goal: float
    unit: str
    kpi: ShareWithin
    error_cost: ErrorCost = field(default_factory=ErrorCost)

    @property
    def error_unit(self) -> str:
        """The unit of the metric: that of the label."""
        return self.unit

    def describe(self, measure: str) -> str:
        """A measure's name as a person reads it, with its unit: `mae [minutes]`."""
        words = {
            "kpi": f"within {self.kpi.tolerance:g} {self.unit} [share]",
            "kpi_share": f"share within {self.kpi.tolerance:g} {self.unit}",
            "cost": f"cost [{self.error_cost.unit}]",
            **{name: f"{name} [{self.unit}]" for name in ("mae", "rmse", "bias")},
        }
        return words.get(measure, measure)

    def summary(self) -> dict[str, object]:
        """What a bundle says of it."""
        return {"metric": self.metric, "unit": self.unit, "goal": self.goal}

    def misfits(self) -> Iterator[tuple[str, object, str]]:
        """Nothing: any number may be a regression's."""
        return iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionCost:
    """What one wrong decision costs: a row taken for a positive that is none, or a positive that was missed."""

    false_positive: float = 1.0
    false_negative: float = 1.0
    unit: str = "cost units"


@dataclass(frozen=True, slots=True)
class ShareOfDecisions:
    """Business KPI at the threshold: the share of all decisions that are right (`accuracy`), of the
    positive decisions that are (`precision`), or of the positives that are found (`recall`).
    """

    measure: Literal["accuracy", "precision", "recall"] = "accuracy"
    meaning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryClassification:
    """Predict the probability that a 0/1 label is 1; `metric` is minimised, `goal` is where the business is content.

    Both metrics are proper: only the true probabilities minimise them, so they judge the
    probabilities, and `threshold` is chosen afterwards.
    """

    task: ClassVar[Task] = "binary classification"

    metric: Literal["log_loss", "brier"] = "log_loss"
    goal: float
    positive: str
    """The word for class 1, such as `cancelled`."""
    kpi: ShareOfDecisions = field(default_factory=ShareOfDecisions)
    error_cost: DecisionCost = field(default_factory=DecisionCost)
    threshold: float | None = None
    """The least probability that is decided as positive. None: where both errors cost the same on
    average, false_positive / (false_positive + false_negative) (Elkan 2001)."""

    @property
    def unit(self) -> str:
        """The unit of label and prediction alike: the mean of either is a share of positives."""
        return f"share {self.positive}"

    @property
    def error_unit(self) -> str:
        """The unit of the metric."""
        return {"log_loss": "nats", "brier": "squared probability"}[self.metric]

    @property
    def cut(self) -> float:
        """The threshold that decisions are made at.

        >>> BinaryClassification(goal=0.5, positive="late", error_cost=DecisionCost(false_negative=3.0)).cut
        0.25
        """
        cost = self.error_cost
        cheapest = cost.false_positive / (cost.false_positive + cost.false_negative)
        return cheapest if self.threshold is None else self.threshold

    def describe(self, measure: str) -> str:
        """A measure's name as a person reads it, with its unit: `log loss [nats]`."""
        at = f"at {self.cut:.3g}"
        classes = {"": self.positive, "negative_": f"not {self.positive}"}
        words = {
            "log_loss": "log loss [nats]",
            "brier": "Brier score [squared probability]",
            "roc_auc": "area under the ROC curve",
            "calibration_error": "expected calibration error [share]",
            "bias": f"mean prediction minus outcome [{self.unit}]",
            "kpi": f"{self.kpi.measure} {at} [share]",
            "kpi_share": f"{self.kpi.measure} {at}",
            "cost": f"cost {at} [{self.error_cost.unit}]",
            **{f"{k}{m}": f"{m} of {word} {at}" for k, word in classes.items() for m in ("precision", "recall", "f1")},
        }
        return words.get(measure, measure)

    def summary(self) -> dict[str, object]:
        """What a bundle says of it; a caller that decides needs the word and the threshold."""
        words = {"task": self.task, "positive": self.positive, "threshold": self.cut}
        return {"metric": self.metric, "unit": self.unit, "goal": self.goal, **words}

    def misfits(self) -> Iterator[tuple[str, object, str]]:
        """Each field that contradicts itself: its name, its value, and what was expected."""
        if self.metric not in ("log_loss", "brier"):
            yield "metric", self.metric, "'log_loss' or 'brier'"
        if not 0 < self.goal < math.inf:
            yield "goal", self.goal, "goal > 0"
        if not self.positive.strip():
            yield "positive", self.positive, "the word for class 1, such as 'cancelled'"
        if self.kpi.measure not in ("accuracy", "precision", "recall"):
            yield "kpi.measure", self.kpi.measure, "'accuracy', 'precision' or 'recall'"
        for name in ("false_positive", "false_negative"):
            if not 0 < getattr(self.error_cost, name) < math.inf:
                yield f"error_cost.{name}", getattr(self.error_cost, name), "a cost > 0"
        if self.threshold is not None and not 0 < self.threshold < 1:
            yield "threshold", self.threshold, "0 < threshold < 1, or None for the cheapest"


Objective = Regression | BinaryClassification
