"""Perennial: declare a machine-learning pipeline, and keep its model fresh.

A pipeline's module imports what it needs from here and nothing else.
"""

from polars import col, concat_str, lit, when

from perennial.beside import Lookup, Timeline
from perennial.declaration import Pipeline
from perennial.featurization.aggregates import Rolling
from perennial.labels.labelling import Label
from perennial.objective import (
    BinaryClassification,
    DecisionCost,
    ErrorCost,
    Regression,
    ShareOfDecisions,
    ShareWithin,
)
from perennial.policies import (
    Better,
    Gates,
    KofN,
    Late,
    LeakageAudit,
    Maturity,
    Monitoring,
    NotWorse,
    Parity,
    Retraining,
    Rules,
    Slice,
    Windows,
)
from perennial.schema import Column, Schema
from perennial.sources import Csv, Files, InferenceLog, JsonLines, Parquet, Pushed, Sql, env
from perennial.time import Daily, Hourly, Monthly, days, hours
from perennial.training.candidates.base_rate import BaseRate
from perennial.training.candidates.gradient_boosting import GradientBoosting
from perennial.training.candidates.linear import Linear
from perennial.training.candidates.median import Median
from perennial.training.candidates.neural_net import NeuralNet
from perennial.validation import expectations as expect
from perennial.validation.seasons.judgement import Seasons

__all__ = [
    "BaseRate",
    "Better",
    "BinaryClassification",
    "Column",
    "Csv",
    "Daily",
    "DecisionCost",
    "ErrorCost",
    "Files",
    "Gates",
    "GradientBoosting",
    "Hourly",
    "InferenceLog",
    "JsonLines",
    "KofN",
    "Label",
    "Late",
    "LeakageAudit",
    "Linear",
    "Lookup",
    "Maturity",
    "Median",
    "Monitoring",
    "Monthly",
    "NeuralNet",
    "NotWorse",
    "Parity",
    "Parquet",
    "Pipeline",
    "Pushed",
    "Regression",
    "Retraining",
    "Rolling",
    "Rules",
    "Schema",
    "Seasons",
    "ShareOfDecisions",
    "ShareWithin",
    "Slice",
    "Sql",
    "Timeline",
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
