"""Importance: what each feature is worth to a bundle's model, and what it costs to compute.

Importance is by permutation (Breiman 2001; Fisher, Rudin, Dominici 2019): by how much the error rises when the
values of one feature are dealt to other rows. Two features that say the same are each worth little by it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import polars as pl

from perennial.evaluation.metrics import error
from perennial.featurization.catalogue import catalogue_of
from perennial.featurization.expressions import select_features, selection

if TYPE_CHECKING:
    from perennial.declaration import Pipeline
    from perennial.prediction.scoring import Predictor

MOST_ROWS = 5_000
"""Sealed rows that are looked at."""
DEALS = 3
"""Times that each feature is dealt anew; the mean counts."""
MICROSECOND = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """One feature of a bundle."""

    name: str
    version: str
    """Of its definition, as the catalogue has it."""
    importance: float | None
    """Rise of the error, in the metric's unit; None of a feature that the model does not read."""
    microseconds: float
    """Per row, of computing its expression by itself on the machine that evaluated: a measurement."""


def measure_worth(
    pipeline: Pipeline, predictor: Predictor, rows: pl.DataFrame, *, timer: Callable[[], float]
) -> tuple[Worth, ...]:
    """The worth of each feature of the bundle on a sample of `rows`, which hold the accepted columns and `label`.

    Importance depends on the bundle, the rows and the pipeline's seed alone; `timer` gives seconds.
    """
    looked_at = rows.sample(min(MOST_ROWS, rows.height), seed=pipeline.seed)
    features, label = predictor.featurize(looked_at), looked_at["label"].to_numpy()
    metric, seed = pipeline.objective.metric, pipeline.seed
    as_is = error(label, predictor.score(features), metric=metric)

    def rise(name: str) -> float:
        dealt = [
            error(label, predictor.score(features.with_columns(_dealt(features[name], seed + deal))), metric=metric)
            for deal in range(DEALS)
        ]
        return sum(dealt) / DEALS - as_is

    versions = {entry.name: entry.version for entry in catalogue_of(pipeline)}
    return tuple(
        Worth(
            name=feature.name,
            version=versions.get(feature.name, ""),
            importance=rise(feature.name) if feature.name in predictor.inputs else None,
            microseconds=_seconds(selection([feature]), looked_at, timer) / max(looked_at.height, 1) / MICROSECOND,
        )
        for feature in predictor.bundle.features
    )


def to_json(worths: Sequence[Worth]) -> bytes:
    """The worths as JSON, for the evidence of an evaluation."""
    return json.dumps([asdict(worth) for worth in worths]).encode()


def from_json(raw: Sequence[Mapping[str, object]]) -> tuple[Worth, ...]:
    """The worths that `to_json` wrote, once parsed."""
    return tuple(Worth(**worth) for worth in raw)  # type: ignore[arg-type]


def _dealt(values: pl.Series, seed: int) -> pl.Series:
    return values.sample(fraction=1.0, shuffle=True, seed=seed)


def _seconds(expressions: Sequence[pl.Expr], rows: pl.DataFrame, timer: Callable[[], float]) -> float:
    """The shortest of a few tries: what else the machine did is no cost of the feature."""
    tries = []
    for _ in range(DEALS):
        began = timer()
        select_features(rows, expressions)
        tries.append(timer() - began)
    return min(tries)
