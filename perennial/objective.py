"""Objective: what a pipeline is for, in the words of the business and as one number to minimise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


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

    metric: Literal["mae", "rmse"] = "mae"
    goal: float
    unit: str
    kpi: ShareWithin
    error_cost: ErrorCost = field(default_factory=ErrorCost)
