"""Answers: a pipeline that reads what the server of another was asked and answered."""

from __future__ import annotations

from typing import Any

from perennial import (
    Column,
    Daily,
    InferenceLog,
    Label,
    Median,
    Pipeline,
    Regression,
    Schema,
    ShareWithin,
    Windows,
    col,
    expect,
)

COLUMNS = {
    "prediction_id": Column("string"),
    "asked_at": Column("datetime"),
    "distance": Column("float64", unit="km"),
    "zone": Column("string"),
    "predicted": Column("float64"),
    "model_version": Column("int64"),
    "outcome": Column("float64", known="with_label"),
    "outcome_at": Column("datetime", known="with_label"),
    "outcome_source": Column("string", known="with_label"),
}


def reading_pipeline(**changed: Any) -> Pipeline:
    """How far the answers for `rides` were off: a row a prediction, with what was reported of it."""
    fields: dict[str, Any] = {
        "name": "rides_error",
        "owner": "team:tests",
        "objective": Regression(goal=1.0, unit="minutes", kpi=ShareWithin(5.0)),
        "source": InferenceLog("rides", licence="ours"),
        "time": Daily(start="2024-01-01", event_time="asked_at", timezone="Europe/Berlin"),
        "key": ["prediction_id"],
        "schema": Schema(COLUMNS, allow_additional=True),
        "expectations": [expect.in_partition("asked_at"), expect.unique("prediction_id")],
        "features": [col("distance"), col("zone"), col("predicted")],
        "label": Label("error", value=col("outcome") - col("predicted"), known_at="outcome_at"),
        "candidates": [Median(by="zone")],
        "windows": Windows(train=2, validation=1, test=1),
    }
    return Pipeline(**fields | changed)
