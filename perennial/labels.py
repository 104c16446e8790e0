"""Labels: what happened, and since when one could know it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import polars as pl


@dataclass(frozen=True, slots=True)
class Label:
    """The outcome to predict: an expression over the landed columns, known at a declared time."""

    name: str
    value: pl.Expr = field(kw_only=True)
    known_at: str = field(kw_only=True)
    """Column with the wall-clock time at which the outcome could be known."""
    unit: str | None = field(default=None, kw_only=True)
    delay: timedelta = field(default=timedelta(0), kw_only=True)
    """How long after `known_at` the outcome reaches us."""
