"""Pushes: a pipeline of hours whose events are pushed, and events for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from perennial import Column, Hourly, Label, Median, Pipeline, Pushed, Regression, Schema, ShareWithin, Windows, expect

FIRST = datetime(2024, 1, 1)


def pushed_pipeline(**changed: Any) -> Pipeline:
    """Scooter rides by the hour, each pushed when it begins, and again when it has ended."""
    fields: dict[str, Any] = {
        "name": "rides",
        "owner": "team:test",
        "objective": Regression(goal=1.0, unit="minutes", kpi=ShareWithin(1.0)),
        "source": Pushed(licence="CC0-1.0"),
        "time": Hourly(start="2024-01-01T00", event_time="began"),
        "key": ["ride"],
        "schema": Schema(
            {
                "ride": Column("string", source="rideId"),
                "began": Column("datetime", source="startedAt"),
                "ended": Column("datetime", source="endedAt", known="with_label"),
                "distance": Column("float64", unit="km"),
                "riders": Column("int32"),
            }
        ),
        "expectations": [expect.between("distance", 0, 100)],
        "features": [pl.col("distance"), pl.col("riders")],
        "label": Label("minutes", value=(pl.col("ended") - pl.col("began")).dt.total_minutes(), known_at="ended"),
        "candidates": [Median(by="riders")],
        "windows": Windows(train=2, validation=1, test=1),
    }
    return Pipeline(**fields | changed)


def an_event(number: int, **changed: Any) -> dict[str, Any]:
    """Ride `number`, of an hour that changes with every hundredth; nothing is known of its end."""
    began = FIRST + timedelta(hours=number // 100 % 20, seconds=number % 100)
    event = {"rideId": f"ride-{number}", "startedAt": began.isoformat(), "distance": number / 10 % 50, "riders": 1}
    return event | changed
