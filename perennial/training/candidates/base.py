"""Candidate: one way to learn a model from rows of features, exportable to ONNX.

A custom candidate is one small class: a name, `fit`, and a `Fitted` that predicts and exports itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from perennial.errors import Misfit
from perennial.objective import Task

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from perennial.featurization.expressions import Feature
    from perennial.objective import Objective

OUTPUT = "prediction"
"""Name of the only output of every exported model: float32, shape (rows, 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows to fit or to measure on: features (Float32 and String columns) and their labels (float64)."""

    features: pl.DataFrame
    label: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """The error after each round of fitting, on the fitted rows and on the validation rows."""

    train: tuple[float, ...]
    validation: tuple[float, ...]
    loss: str | None = None
    """Which error, where it is not the objective's metric."""


class Fitted(ABC):
    """A model that has learned; it lives in one process and leaves it as ONNX only."""

    rounds: int | None = None
    """How many rounds (trees, epochs) were kept; a later fit without validation rows repeats them."""
    curve: LearningCurve | None = None
    parameters: Mapping[str, Any] = {}
    used: Sequence[Feature] = ()
    """The features that it reads."""

    @abstractmethod
    def predict(self, features: pl.DataFrame) -> np.ndarray[Any, Any]:
        """One float64 prediction a row, by the fitted model itself: the probability of 1 for a classification."""

    @abstractmethod
    def to_onnx(self) -> bytes:
        """The model as one ONNX graph.

        One input a used feature, named like it, of shape (rows, 1): float32 with NaN for a null, or
        string with "" for a null. One output, `prediction`. Fitted preparation (imputing, scaling,
        encoding) is inside; an unseen category is an ordinary input.
        """


@dataclass(frozen=True, kw_only=True)
class Candidate(ABC):
    """A declared way to fit a model, with its hyperparameters as fields."""

    baseline: ClassVar[bool] = False
    """Whether every other candidate must beat it before it may serve."""
    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    """The kinds of objective that it can learn for; a pipeline of another kind refuses it when it loads."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the candidate, of its asset and of its MLflow run: `gradient_boosting`."""

    @property
    def needs(self) -> Sequence[str]:
        """Features that it cannot do without, checked when the pipeline loads."""
        return ()

    def misfits(self, features: Sequence[Feature]) -> Iterator[Misfit]:  # noqa: ARG002 - of those that choose
        """What of it cannot be meant for a pipeline of these features."""
        yield from ()

    @abstractmethod
    def fit(
        self,
        train: Rows,
        validation: Rows | None,
        *,
        features: Sequence[Feature],
        objective: Objective,
        seed: int,
        rounds: int | None = None,
    ) -> Fitted:
        """Learn from `train`.

        With `validation`, stop early on it and record how many rounds were kept. Without, fit
        exactly `rounds` rounds. Equal input gives an equal model. A NaN in training raises.
        """
