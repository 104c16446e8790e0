"""Gradient boosting: histogram-based trees on numbers and on categories ordered by their label."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from perennial.objective import Task
from perennial.training.candidates.base import OUTPUT, Fitted, LearningCurve, Rows
from perennial.training.candidates.graph import OPSET, build_model, constant, node
from perennial.training.candidates.preparation import (
    Lookup,
    classes_of,
    frequent,
    group_means,
    labels_of,
    names_of,
    number_matrix,
)
from perennial.training.candidates.selection import Selecting

if TYPE_CHECKING:
    import numpy as np

    from perennial.featurization.expressions import Feature
    from perennial.objective import Objective

MANY_ROWS = 1_000_000
"""From so many rows on more threads pay. On two cores shared with other work, 365,000 rows took two threads 80 s of
processor time and one thread 17: threads that wait spin, and the one that lost its core keeps all waiting."""
LOSSES = {"mae": "absolute_error", "rmse": "squared_error", "log_loss": "log_loss", "brier": "log_loss"}


@dataclass(frozen=True, kw_only=True)
class GradientBoosting(Selecting):
    """scikit-learn's histogram-based boosting, its loss chosen by the objective's metric.

    A classification is learned by log loss, also where the Brier score judges it: both are lowest at
    the true probabilities.

    A category becomes one number: the mean label of its rows, drawn towards the overall mean by
    `smoothing` imagined rows. In that order one split separates any high from any low categories
    (Fisher 1958), without a column for each. Beyond the `max_categories` most frequent, and for one
    never seen, it is the overall mean, so that a category of 20,000 values neither costs nor leaks
    its rows' own labels.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "binary classification"})

    name: str = "gradient_boosting"
    learning_rate: float = 0.1
    max_iter: int = 300
    max_leaf_nodes: int = 31
    min_samples_leaf: int = 20
    l2_regularization: float = 0.0
    patience: int = 10
    """Rounds without a better validation error before it stops."""
    max_categories: int = 300
    smoothing: float = 20.0

    def fit(
        self,
        train: Rows,
        validation: Rows | None,
        *,
        features: Sequence[Feature],
        objective: Objective,
        seed: int,
        rounds: int | None = None,
    ) -> FittedBoosting:
        """Grow trees until the validation rows are predicted no better, or exactly `rounds`."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        classifies = objective.task == "binary classification"
        label = (classes_of if classifies else labels_of)(train, where=self.name)
        used = self.chosen(train, label, features, classifies=classifies)
        lookups = tuple(self._order(train.features, label, name) for name in names_of(used, "category"))
        inputs = Inputs(numbers=names_of(used, "number"), lookups=lookups)
        model = (HistGradientBoostingClassifier if classifies else HistGradientBoostingRegressor)(
            loss=LOSSES[objective.metric],
            learning_rate=self.learning_rate,
            max_iter=self.max_iter if rounds is None else rounds,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2_regularization,
            early_stopping=validation is not None,
            n_iter_no_change=self.patience,
            random_state=seed,
        )
        judged = (
            {}
            if validation is None
            else {"X_val": inputs.apply(validation.features), "y_val": labels_of(validation, where=self.name)}
        )
        with _threads_for(len(label)):
            model.fit(inputs.bounded(train.features), label, **judged)
        return FittedBoosting(used, inputs, model, metric=objective.metric)

    def _order(self, frame: pl.DataFrame, label: np.ndarray[Any, Any], name: str) -> Lookup:
        kept = frequent(frame.get_column(name), self.max_categories)
        return group_means(frame, label, name, smoothing=self.smoothing, kept=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The columns that the trees see: the numbers as they are, then the categories as numbers."""

    numbers: tuple[str, ...]
    lookups: tuple[Lookup, ...]

    def apply(self, frame: pl.DataFrame) -> np.ndarray[Any, Any]:
        """The columns as float32, NaN for a missing number."""
        import numpy as np

        return np.column_stack([number_matrix(frame, self.numbers), *(lookup.apply(frame) for lookup in self.lookups)])

    def bounded(self, frame: pl.DataFrame) -> np.ndarray[Any, Any]:
        """The columns to learn from: an infinity is missing, a column without any number is constant.

        Between an infinity and a number there is no middle to split at, and scikit-learn 1.9 fails
        on a column of nothing but missing values.
        """
        import numpy as np

        columns = self.apply(frame)
        known = np.isfinite(columns)
        columns[~known] = np.nan
        columns[:, ~known.any(axis=0)] = 0.0
        return columns


class FittedBoosting(Fitted):
    """Grown trees."""

    def __init__(self, used: tuple[Feature, ...], inputs: Inputs, model: Any, *, metric: str) -> None:
        self.used = used
        self.inputs = inputs
        self.model = model
        self.classifies = model.loss == "log_loss"
        self.rounds = int(model.n_iter_)
        self.curve = _curve(model, metric)
        self.parameters = {"rounds": self.rounds, "loss": model.loss, "features": len(used)}
        _round_thresholds_down(model)

    def predict(self, features: pl.DataFrame) -> np.ndarray[Any, Any]:
        """The sum of the trees; of a classifier, the probability that it stands for."""
        import numpy as np

        columns = self.inputs.apply(features)
        answers = self.model.predict_proba(columns)[:, 1] if self.classifies else self.model.predict(columns)
        return np.asarray(answers, dtype=np.float64)

    def to_onnx(self) -> bytes:
        """A table for each category, then the trees as skl2onnx converts them."""
        import numpy as np

        columns = [*self.inputs.numbers, *(f"{lookup.name}_ordered" for lookup in self.inputs.lookups)]
        trees = _convert(self.model, width=len(columns))
        nodes = [lookup.node(f"{lookup.name}_ordered") for lookup in self.inputs.lookups]
        nodes.append(node("Concat", columns, "columns", axis=1))
        nodes.extend(trees.node)
        if not self.classifies:
            nodes.append(node("Identity", [trees.output[0].name], OUTPUT))
            return build_model(self.used, nodes, trees.initializer)
        nodes.append(node("Gather", [trees.output[1].name, "positive"], OUTPUT, axis=1))
        return build_model(self.used, nodes, [*trees.initializer, constant("positive", np.array([1]))])


def _threads_for(rows: int) -> AbstractContextManager[Any]:
    """One thread for few rows: each round waits for every thread, ten times as long on a busy machine."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(1, user_api="openmp") if rows < MANY_ROWS else nullcontext()


def _convert(model: Any, *, width: int) -> Any:
    """The ONNX graph of the trees alone, from the input `columns`."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    with warnings.catch_warnings():
        # skl2onnx 1.20 writes booleans where protobuf 7 will want integers; requirements keep protobuf below 7
        warnings.filterwarnings("ignore", "Field onnx.AttributeProto.ints: Expected an int", DeprecationWarning)
        return to_onnx(
            model,
            initial_types=[("columns", FloatTensorType([None, width]))],
            target_opset={"": OPSET, "ai.onnx.ml": 1},
            options={id(model): {"zipmap": False}} if model.loss == "log_loss" else None,
        ).graph


def _curve(model: Any, metric: str) -> LearningCurve | None:
    """scikit-learn keeps negative losses, before the first round and after each; squared ones are halved."""
    if not len(model.validation_score_):
        return None
    train, validation = (
        tuple(float((-2 * score) ** 0.5 if metric == "rmse" else -score) for score in scores[1:])
        for scores in (model.train_score_, model.validation_score_)
    )
    return LearningCurve(train=train, validation=validation, loss="log_loss" if metric == "brier" else None)


def _round_thresholds_down(model: Any) -> None:
    """Make each threshold the largest float32 that does not exceed it.

    For float32 inputs nothing changes, and ONNX, which keeps float32, then splits exactly alike
    (skl2onnx 1.20 rounds to nearest for these trees, which can swallow a neighbouring value).
    """
    import numpy as np

    for (tree,) in model._predictors:  # noqa: SLF001 - the only place of the trees; skl2onnx reads it too
        exact = tree.nodes["num_threshold"]
        rounded = exact.astype(np.float32)
        below = np.nextafter(rounded, np.float32("-inf"))
        tree.nodes["num_threshold"] = np.where(rounded > exact, below, rounded)
