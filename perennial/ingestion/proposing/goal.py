"""Goal: a first guess at when a model would be good enough, from what a rule of thumb achieves on one file."""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl

from perennial.ingestion.proposing.proposal import Proposal

BETTER = 0.8
"""A model is hoped to have so much of the error of a rule of thumb."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A goal, for which kind of label, and why."""

    value: float
    is_binary: bool
    why: str


def rough_goal(found: Proposal) -> Goal:
    """Four fifths of the error of the median, or of the log loss of the overall share."""
    values = _label(found).drop_nulls().cast(pl.Float64)
    values = values.filter(values.is_finite())
    share = float(values.mean() or 0) if len(values) else 0.0  # type: ignore[arg-type]
    if set(values.unique()) <= {0.0, 1.0} and 0 < share < 1:
        entropy = -(share * math.log(share) + (1 - share) * math.log(1 - share))
        why = f"{BETTER:g} of the log loss of always saying {share:.3f}"
        return Goal(value=_rounded(BETTER * entropy), is_binary=True, why=why)
    error = float((values - values.median()).abs().mean() or 1) if len(values) else 1.0  # type: ignore[arg-type]
    return Goal(
        value=_rounded(BETTER * error) or 1.0,
        is_binary=False,
        why=f"{BETTER:g} of the error of always saying the median",
    )


def _label(found: Proposal) -> pl.Series:
    later, _, earlier = str(found.label).partition(" - ")
    if earlier:
        return (found.column(later).values - found.column(earlier).values).dt.total_seconds() / 60
    values = found.column(later).values
    return values if found.positive is None else values == found.positive


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")
