"""Candidates: the ways to learn a model that Perennial brings along."""

from perennial.training.candidates.base import Candidate, Fitted, LearningCurve, Rows
from perennial.training.candidates.base_rate import BaseRate
from perennial.training.candidates.gradient_boosting import GradientBoosting
from perennial.training.candidates.linear import Linear
from perennial.training.candidates.median import Median
from perennial.training.candidates.neural_net import NeuralNet

__all__ = [
    "BaseRate",
    "Candidate",
    "Fitted",
    "GradientBoosting",
    "LearningCurve",
    "Linear",
    "Median",
    "NeuralNet",
    "Rows",
]
