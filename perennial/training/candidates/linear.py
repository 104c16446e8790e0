"""Linear: a weighted sum of scaled numbers and the most frequent categories, the simplest learned model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from perennial.objective import Task
from perennial.training.candidates.base import OUTPUT, Fitted, Rows
from perennial.training.candidates.graph import build_model, constant, node
from perennial.training.candidates.preparation import (
    Lookup,
    Scaling,
    classes_of,
    codes,
    frequent,
    labels_of,
    learn_scaling,
    names_of,
)
from perennial.training.candidates.selection import Selecting

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from perennial.featurization.expressions import Feature
    from perennial.objective import Objective


@dataclass(frozen=True, kw_only=True)
class Linear(Selecting):
    """Ridge regression, or logistic regression for a classification: one coefficient a number and one a category.

    It minimises squared error, or log loss, whatever the metric: a baseline is meant to be plain.
    `alpha` / 2 times the sum of the squared coefficients is added, the intercept apart. Only the
    `max_categories` most frequent categories of a feature have a coefficient; all others, and one
    never seen, have none, so a category of 20,000 values adds no more columns than that.
    """

    baseline: ClassVar[bool] = True
    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "binary classification"})

    name: str = "linear"
    alpha: float = 1.0
    max_categories: int = 50

    def fit(
        self,
        train: Rows,
        validation: Rows | None,  # noqa: ARG002 - solved in one go, nothing to stop early
        *,
        features: Sequence[Feature],
        objective: Objective,
        seed: int,  # noqa: ARG002
        rounds: int | None = None,  # noqa: ARG002
    ) -> FittedLinear:
        """Solve for the coefficients."""
        from scipy.sparse import csr_array, hstack

        classifies = objective.task == "binary classification"
        label = (classes_of if classifies else labels_of)(train, where=self.name)
        used = self.chosen(train, label, features, classifies=classifies)
        scaling = learn_scaling(train.features, names_of(used, "number"))
        categories = {
            name: frequent(train.features.get_column(name), self.max_categories) for name in names_of(used, "category")
        }
        columns = [csr_array(scaling.apply(train.features))]
        columns += [_one_hot(train.features, name, known) for name, known in categories.items()]
        solve = _logistic if classifies else _ridge
        coefficients, intercept = solve(hstack(columns, format="csr"), label, alpha=self.alpha)
        weights, lookups = _split(coefficients, scaling, categories)
        return FittedLinear(used, scaling, weights, lookups, intercept, classifies=classifies)


def _ridge(matrix: Any, label: np.ndarray[Any, Any], *, alpha: float) -> tuple[np.ndarray[Any, Any], float]:
    """The coefficients and the intercept of a ridge regression, by its normal equations.

    Exact, and for many rows of few sparse columns the fastest: scikit-learn's sparse solvers iterate
    (20 s against 6 s for 365,000 rows of 170 columns), its direct ones want the rows dense.
    """
    import numpy as np

    means = np.asarray(matrix.mean(axis=0)).ravel()
    products = (matrix.T @ matrix).toarray() - len(label) * np.outer(means, means)
    moments = matrix.T @ (label - label.mean())
    coefficients = np.linalg.lstsq(products + alpha * np.eye(len(means)), moments)[0]
    return coefficients, float(label.mean() - means @ coefficients)


def _logistic(matrix: Any, label: np.ndarray[Any, Any], *, alpha: float) -> tuple[np.ndarray[Any, Any], float]:
    """The coefficients and the intercept of a logistic regression, by Newton's method: a handful of exact steps."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1 / alpha if alpha else math.inf, solver="newton-cholesky", tol=1e-6)
    model.fit(matrix, label)
    return model.coef_[0], float(model.intercept_[0])


def _one_hot(frame: pl.DataFrame, name: str, known: Sequence[str]) -> Any:
    """A sparse column for each known category; a row of any other is empty."""
    import numpy as np
    from scipy.sparse import csr_array

    code = codes(frame, name, known)
    rows = np.flatnonzero(code)
    return csr_array((np.ones(len(rows)), (rows, code[rows] - 1)), shape=(frame.height, len(known)))


def _split(
    coefficients: np.ndarray[Any, Any], scaling: Scaling, categories: dict[str, list[str]]
) -> tuple[np.ndarray[Any, Any], tuple[Lookup, ...]]:
    """The coefficients of the numbers, and a table of those of each category feature."""
    import numpy as np

    lookups, start = [], scaling.width
    for name, known in categories.items():
        part = coefficients[start : start + len(known)].astype(np.float32).tolist()
        lookups.append(Lookup(name=name, values=dict(zip(known, part, strict=True)), default=0.0))
        start += len(known)
    return coefficients[: scaling.width], tuple(lookups)


class FittedLinear(Fitted):
    """Coefficients."""

    def __init__(
        self,
        used: tuple[Feature, ...],
        scaling: Scaling,
        weights: np.ndarray[Any, Any],
        lookups: tuple[Lookup, ...],
        intercept: float,
        *,
        classifies: bool,
    ) -> None:
        self.used = used
        self.scaling = scaling
        self.weights = weights
        self.lookups = lookups
        self.intercept = intercept
        self.classifies = classifies
        coefficients = len(weights) + sum(len(lookup.values) for lookup in lookups)
        self.parameters = {"features": len(used), "coefficients": coefficients}

    def predict(self, features: pl.DataFrame) -> np.ndarray[Any, Any]:
        """The weighted sum, in double precision; for a classification, the probability with these log odds."""
        import numpy as np
        from scipy.special import expit

        answer = np.full(features.height, self.intercept)
        if self.scaling.names:
            answer += self.scaling.apply(features) @ self.weights
        for lookup in self.lookups:
            answer += lookup.apply(features)
        return np.asarray(expit(answer)) if self.classifies else answer

    def to_onnx(self) -> bytes:
        """The same sum in double precision; a category's column and coefficient are one table."""
        import numpy as np
        from onnx import TensorProto

        nodes: list[onnx.NodeProto] = []
        constants = [constant("intercept", np.array([[self.intercept]]))]
        terms = ["intercept"]
        if self.scaling.names:
            nodes, more = self.scaling.nodes("numbers")
            nodes.append(node("MatMul", ["numbers", "weights"], "weighted"))
            constants += [*more, constant("weights", self.weights[:, None])]
            terms.append("weighted")
        for lookup in self.lookups:
            nodes.append(lookup.node(f"{lookup.name}_coefficient"))
            nodes.append(node("Cast", [f"{lookup.name}_coefficient"], f"{lookup.name}_term", to=TensorProto.DOUBLE))
            terms.append(f"{lookup.name}_term")
        nodes.append(node("Sum", terms, "total"))
        if self.classifies:
            nodes.append(node("Sigmoid", ["total"], "probability"))
        nodes.append(node("Cast", ["probability" if self.classifies else "total"], OUTPUT, to=TensorProto.FLOAT))
        return build_model(self.used, nodes, constants)
