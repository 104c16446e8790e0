"""Candidates: the ways to learn a model that Perennial brings along."""

from perennial.candidates.base import Candidate, Fitted, LearningCurve, Rows
from perennial.candidates.gradient_boosting import GradientBoosting
from perennial.candidates.median import Median

__all__ = ["Candidate", "Fitted", "GradientBoosting", "LearningCurve", "Median", "Rows"]
