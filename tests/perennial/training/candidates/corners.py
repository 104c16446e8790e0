"""Corners: drawn rows as candidates take them, and the rows that a model must answer all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from perennial.training.candidates import Rows

EXTREMES = [0.0, -0.0, 1.0, -1e-30, 1e-45, 3.4028235e38, -3.4028235e38, float("inf"), float("-inf"), float("nan"), None]


def rows_of(raw: dict[str, list[Any]]) -> Rows:
    features = pl.DataFrame(
        {
            "distance": pl.Series(raw["distance"], dtype=pl.Float64, strict=False).cast(pl.Float32),
            "hour": pl.Series(raw["hour"], dtype=pl.Float32, strict=False),
            "zone": pl.Series(raw["zone"], dtype=pl.String),
        }
    )
    return Rows(features=features, label=np.array(raw["label"], dtype=np.float64))


def corners(rows: Rows) -> pl.DataFrame:
    """The rows themselves, then an unseen category, nulls and extremes."""
    extreme = pl.DataFrame(
        {"distance": pl.Series(EXTREMES, dtype=pl.Float32), "hour": pl.Series(EXTREMES[::-1], dtype=pl.Float32)}
    ).with_columns(zone=pl.Series(["never seen before", None, ""] * 3 + ["a", "b"]))
    return pl.concat([rows.features, extreme])
