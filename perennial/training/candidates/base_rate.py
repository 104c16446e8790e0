"""Base rate: the rule of thumb that any learned classifier must beat, the share of positives of a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from perennial.objective import Task
from perennial.training.candidates.base import Rows
from perennial.training.candidates.median import FittedGroups, RuleOfThumb, group_feature
from perennial.training.candidates.preparation import classes_of, group_means

if TYPE_CHECKING:
    from perennial.featurization.expressions import Feature
    from perennial.objective import Objective


@dataclass(frozen=True, kw_only=True)
class BaseRate(RuleOfThumb):
    """The share of positives in each category of feature `by`, drawn towards the share of all.

    `smoothing` imagined rows of the overall share join each category, so that a category of one row
    is not certain; one never seen has the overall share.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary classification"})

    name: str = "base_rate"
    smoothing: float = 20.0

    def fit(
        self,
        train: Rows,
        validation: Rows | None,  # noqa: ARG002 - a share has nothing to stop early
        *,
        features: Sequence[Feature],
        objective: Objective,  # noqa: ARG002 - a rule of thumb is one whatever the metric
        seed: int,  # noqa: ARG002
        rounds: int | None = None,  # noqa: ARG002
    ) -> FittedGroups:
        """Learn the shares; a null groups with the empty text."""
        feature = group_feature(features, self.by, where=self.name)
        label = classes_of(train, where=self.name)
        return FittedGroups(feature, group_means(train.features, label, self.by, smoothing=self.smoothing))
