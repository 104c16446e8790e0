"""Median: the rule of thumb that any learned model must beat, the median label of a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from perennial.errors import PerennialError
from perennial.training.candidates.base import OUTPUT, Candidate, Fitted, Rows
from perennial.training.candidates.graph import build_model
from perennial.training.candidates.preparation import Lookup, labels_of

if TYPE_CHECKING:
    import numpy as np

    from perennial.featurization.expressions import Feature
    from perennial.objective import Objective


@dataclass(frozen=True, kw_only=True)
class RuleOfThumb(Candidate):
    """One number for each category of feature `by`."""

    baseline: ClassVar[bool] = True

    by: str

    @property
    def needs(self) -> Sequence[str]:
        """The feature that groups."""
        return (self.by,)


@dataclass(frozen=True, kw_only=True)
class Median(RuleOfThumb):
    """The median label of each category of feature `by`; the median of all for a category never seen."""

    name: str = "median"

    def fit(
        self,
        train: Rows,
        validation: Rows | None,  # noqa: ARG002 - a median has nothing to stop early
        *,
        features: Sequence[Feature],
        objective: Objective,  # noqa: ARG002 - a rule of thumb is one whatever the metric
        seed: int,  # noqa: ARG002
        rounds: int | None = None,  # noqa: ARG002
    ) -> FittedGroups:
        """Learn the medians; a null groups with the empty text."""
        feature = group_feature(features, self.by, where=self.name)
        grouped = (
            pl.DataFrame({"category": train.features.get_column(self.by).fill_null("")})
            .with_columns(label=pl.Series(labels_of(train, where=self.name)))
            .group_by("category")
            .agg(pl.col("label").median().cast(pl.Float32))
            .sort("category")
        )
        overall = pl.Series(train.label).cast(pl.Float64).median()
        values = dict(grouped.iter_rows())
        default = pl.Series([overall], dtype=pl.Float32).item()
        return FittedGroups(feature, Lookup(name=self.by, values=values, default=default))


def group_feature(features: Sequence[Feature], by: str, *, where: str) -> Feature:
    """The feature `by`. Raises PerennialError when it is no category."""
    for feature in features:
        if feature.name == by and feature.kind == "category":
            return feature
    categories = [feature.name for feature in features if feature.kind == "category"]
    raise PerennialError(
        "cannot group", where=where, found=f"by={by!r}", expected=f"a category ({', '.join(categories)})"
    )


class FittedGroups(Fitted):
    """A number for each category."""

    def __init__(self, feature: Feature, lookup: Lookup) -> None:
        self.feature = feature
        self.lookup = lookup
        self.parameters = {"by": feature.name, "groups": len(lookup.values)}

    def predict(self, features: pl.DataFrame) -> np.ndarray[Any, Any]:
        """The number of each row's group."""
        import numpy as np

        return self.lookup.apply(features).astype(np.float64)

    def to_onnx(self) -> bytes:
        """One table from category to number."""
        return build_model([self.feature], [self.lookup.node(OUTPUT)])
