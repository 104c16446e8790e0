"""Eta: a small pipeline for tests, whose every field may be another."""

from __future__ import annotations

from typing import Any

import polars as pl

from perennial import Column, Daily, Files, Label, Median, Pipeline, Regression, Schema, ShareWithin, Windows
from perennial.graph.stages import data_assets


def declare_eta(**changed: Any) -> Pipeline:
    """A pipeline of days from 2024-01-01 on, whose rows are orders with a zone and both times."""
    fields: dict[str, Any] = {
        "name": "eta",
        "owner": "team:test",
        "objective": Regression(goal=1.0, unit="minutes", kpi=ShareWithin(1.0)),
        "source": Files("{root}/{partition:%Y-%m-%d}.parquet", root="/nowhere"),
        "time": Daily(start="2024-01-01", event_time="asked"),
        "key": ["order"],
        "schema": Schema(
            {
                "order": Column("string"),
                "zone": Column("string"),
                "asked": Column("datetime"),
                "done": Column("datetime", known="with_label"),
            }
        ),
        "features": [pl.col("zone")],
        "label": Label("minutes", value=(pl.col("done") - pl.col("asked")).dt.total_minutes(), known_at="done"),
        "candidates": [Median(by="zone")],
        "windows": Windows(train=2, validation=1, test=1),
    }
    return Pipeline(**{**fields, **changed})


DATA = data_assets(declare_eta())
"""What an arrived partition becomes in every pipeline, parents before children."""
