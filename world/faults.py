"""Faults: what goes wrong between a true order and the row that a file tells of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import numpy as np

FAULTS: dict[str, tuple[pl.Expr, ...]] = {
    "negative distance": (-pl.col("distance_km"),),
    "no zone": (pl.lit(None, pl.String).alias("zone"),),
    "delivered before it was ordered": ((pl.col("ordered_at") - timedelta(minutes=9)).alias("delivered_at"),),
    "no items": (pl.lit(0, pl.Int64).alias("items"),),
    "unknown weather": (pl.lit("?").alias("weather"),),
    "another day": (pl.col("ordered_at") - timedelta(days=1), pl.col("delivered_at") - timedelta(days=1)),
}
"""What each fault does to a row; every one of them breaks an expectation of `pipelines.delivery_eta`."""
REPEATED_SHARE = 0.005
"""Share of rows that are sent twice, word for word."""


def add_faults(orders: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """`orders` as a file tells them: 1-2 % of the rows are wrong, and a few come twice."""
    count = orders.height
    wrong = rng.permutation(count)[: max(1, round(count * rng.uniform(0.01, 0.02)))]
    fault = pl.Series("fault", [-1]).new_from_index(0, count).scatter(wrong, rng.integers(0, len(FAULTS), len(wrong)))
    told = orders.with_columns(fault)
    for number, changes in enumerate(FAULTS.values()):
        told = told.with_columns(_where(pl.col("fault") == number, change) for change in changes)
    again = rng.permutation(count)[: max(1, round(count * REPEATED_SHARE))]
    return pl.concat([told, told[again]]).drop("fault")


def _where(at_fault: pl.Expr, change: pl.Expr) -> pl.Expr:
    name = change.meta.output_name()
    return pl.when(at_fault).then(change).otherwise(pl.col(name)).alias(name)
