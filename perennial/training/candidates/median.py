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
    from perennial.objective import Regression


@dataclass(frozen=True, kw_only=True)
class Median(Candidate):
    """The median label of each category of feature `by`; the median of all for a category never seen."""

    baseline: ClassVar[bool] = True

    by: str
    name: str = "median"

    @property
    def needs(self) -> Sequence[str]:
        """The feature that groups."""
        return (self.by,)

    def fit(
        self,
        train: Rows,
        validation: Rows | None,  # noqa: ARG002 - a median has nothing to stop early
        *,
        features: Sequence[Feature],
        objective: Regression,  # noqa: ARG002 - a rule of thumb is one whatever the metric
        seed: int,  # noqa: ARG002
        rounds: int | None = None,  # noqa: ARG002
    ) -> FittedMedian:
        """Learn the medians; a null groups with the empty text."""
        feature = self._feature(features)
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
        return FittedMedian(feature, Lookup(name=self.by, values=values, default=default))

    def _feature(self, features: Sequence[Feature]) -> Feature:
        for feature in features:
            if feature.name == self.by and feature.kind == "category":
                return feature
        categories = [feature.name for feature in features if feature.kind == "category"]
        raise PerennialError(
            "cannot group", where=self.name, found=f"by={self.by!r}", expected=f"a category ({', '.join(categories)})"
        )


class FittedMedian(Fitted):
    """Medians by category."""

    def __init__(self, feature: Feature, lookup: Lookup) -> None:
        self.feature = feature
        self.lookup = lookup
        self.parameters = {"by": feature.name, "groups": len(lookup.values)}

    def predict(self, features: pl.DataFrame) -> np.ndarray[Any, Any]:
        """The median of each row's group."""
        import numpy as np

        return self.lookup.apply(features).astype(np.float64)

    def to_onnx(self) -> bytes:
        """One table from category to median."""
        return build_model([self.feature], [self.lookup.node(OUTPUT)])
