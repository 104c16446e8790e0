"""Perennial: declare a machine-learning pipeline, and keep its model fresh.

A pipeline's module imports what it needs from here and nothing else.
"""

from polars import col, concat_str, lit, when

from perennial import expectations as expect
from perennial.candidates.gradient_boosting import GradientBoosting
from perennial.candidates.linear import Linear
from perennial.candidates.median import Median
from perennial.candidates.neural_net import NeuralNet
from perennial.declaration import Pipeline
from perennial.labels import Label
from perennial.objective import ErrorCost, Regression, ShareWithin
from perennial.policies import Better, Gates, KofN, Monitoring, NotWorse, Parity, Retraining, Slice, Windows
from perennial.schema import Column, Schema
from perennial.sources import Files, env
from perennial.time import Daily, Hourly, Monthly, days, hours

__all__ = [
    "Better",
    "Column",
    "Daily",
    "ErrorCost",
    "Files",
    "Gates",
    "GradientBoosting",
    "Hourly",
    "KofN",
    "Label",
    "Linear",
    "Median",
    "Monitoring",
    "Monthly",
    "NeuralNet",
    "NotWorse",
    "Parity",
    "Pipeline",
    "Regression",
    "Retraining",
    "Schema",
    "ShareWithin",
    "Slice",
    "Windows",
    "col",
    "concat_str",
    "days",
    "env",
    "expect",
    "hours",
    "lit",
    "when",
]
