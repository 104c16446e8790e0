"""Candidates: the ways to learn a model that Perennial brings along."""

from perennial.candidates.base import Candidate, Fitted, LearningCurve, Rows
from perennial.candidates.gradient_boosting import GradientBoosting
from perennial.candidates.linear import Linear
from perennial.candidates.median import Median
from perennial.candidates.neural_net import NeuralNet

__all__ = ["Candidate", "Fitted", "GradientBoosting", "LearningCurve", "Linear", "Median", "NeuralNet", "Rows"]
