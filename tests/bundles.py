"""Bundles: small real ones for tests, whose answers one can compute by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import polars as pl
from onnx import TensorProto, helper

from perennial import Column, Daily, Files, Label, Median, Pipeline, Regression, Schema, ShareWithin, Windows, col
from perennial.bundle.bundle import seal
from perennial.bundle.manifest import describe_features, describe_requests, describe_thresholds
from perennial.featurization.aggregates import Rolling
from perennial.prediction.scoring import Predictor
from perennial.stores.parquet import to_parquet


@lru_cache
def small_pipeline(name: str = "rides") -> Pipeline:
    """A pipeline with a field of every kind that a request can hold."""
    return Pipeline(
        name=name,
        owner="team:tests",
        objective=Regression(goal=1.0, unit="minutes", kpi=ShareWithin(5.0)),
        source=Files("{root}/{partition:%Y-%m-%d}.parquet"),
        time=Daily(start="2024-01-01", event_time="at_door", timezone="Europe/Berlin"),
        key=["ride_id"],
        schema=Schema(
            {
                "ride_id": Column("int64"),
                "at_door": Column("datetime"),
                "ended": Column("datetime", known="with_label"),
                "distance": Column("float64", unit="km", meaning="planned"),
                "weight": Column("float32"),
                "seats": Column("int32"),
                "meters": Column("int64", nullable=True),
                "zone": Column("string"),
                "note": Column("string", nullable=True),
                "rain": Column("bool"),
            }
        ),
        features=[
            col("distance").alias("distance"),
            (col("seats") * 2 + col("rain").cast(int)).alias("load"),
            col("meters").fill_null(0).alias("meters"),
            col("weight").alias("weight"),
            col("at_door").dt.hour().alias("hour"),
            (col("zone") + col("note").fill_null("")).alias("place"),
        ],
        label=Label("minutes", value=(col("ended") - col("at_door")).dt.total_minutes(), known_at="ended"),
        candidates=[Median(by="place")],
        windows=Windows(train=3),
    )


def small_model(slope: float, category: str = "north") -> bytes:
    """slope x distance + load + hour, and 100 more at `category`; NaN counts as 0."""
    number = ["distance", "load", "hour"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in number]
    inputs.append(helper.make_tensor_value_info("place", TensorProto.STRING, [None, 1]))
    encoder = helper.make_node(
        "LabelEncoder", ["place"], ["extra"], domain="ai.onnx.ml",
        keys_strings=[category], values_floats=[100.0], default_float=0.0,
    )  # fmt: skip
    nodes = [
        encoder,
        helper.make_node("Mul", ["distance", "slope"], ["scaled"]),
        helper.make_node("Sum", ["scaled", "load", "hour", "extra"], ["prediction"]),
    ]
    graph = helper.make_graph(
        nodes, "small", inputs,
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor("slope", TensorProto.FLOAT, [1], [slope])],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


LOOKED_UP = replace(
    small_pipeline("lookups"),
    aggregates=[
        Rolling(by="zone", of="label", how="mean", days=7, name="zone_mean_7d"),
        Rolling(by="zone", how="count", days=7, default=0.5, name="zone_count_7d"),
    ],
)
"""The small pipeline with two aggregates of the zone; the mean has no default."""


def looking_up_bundle(slope: float = 2.0) -> dict[str, bytes]:
    """The sealed files of a bundle of LOOKED_UP, whose model adds both aggregates; a mean of NaN counts as -1000."""
    model = onnx.load_from_string(small_model(slope))
    number = ["zone_mean_7d", "zone_count_7d"]
    graph = model.graph
    graph.input.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in number)
    graph.initializer.append(helper.make_tensor("missing", TensorProto.FLOAT, [1], [-1000.0]))
    graph.node[-1].output[0] = "small"
    graph.node.extend(
        [
            helper.make_node("IsNaN", ["zone_mean_7d"], ["unknown"]),
            helper.make_node("Where", ["unknown", "missing", "zone_mean_7d"], ["mean"]),
            helper.make_node("Sum", ["small", "mean", "zone_count_7d"], ["prediction"]),
        ]
    )
    onnx.checker.check_model(model)
    return _sealed(LOOKED_UP, bytes(model.SerializeToString()), slope, zone_mean_7d=3.0, zone_count_7d=4.0)


def answer_by_hand(slope: float, instance: dict[str, Any], category: str = "north") -> float:
    """What `small_model` says to one instance."""
    place = instance["zone"] + (instance["note"] or "")
    at = datetime.fromisoformat(instance["at_door"])
    load = instance["seats"] * 2 + instance["rain"]
    return slope * instance["distance"] + load + at.hour + (100.0 if place == category else 0.0)


def an_instance(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A request instance; different numbers differ."""
    at = datetime(2024, 3, 1, 8) + timedelta(minutes=17 * number)
    instance: dict[str, Any] = {
        "at_door": at.isoformat(), "distance": 1.5 + number % 50, "weight": 0.5, "seats": number % 7,
        "meters": None if number % 3 else number, "zone": ("north", "south")[number % 2], "note": None,
        "rain": number % 5 == 0,
    }  # fmt: skip
    return instance | changes


def rows_of(predictor: Predictor, instances: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """What the server makes of request instances before it answers them."""
    return predictor.reader.frame(predictor.reader.check(instances))


def small_bundle(slope: float = 2.0, *, name: str = "rides", as_of: str = "2024-01-31") -> dict[str, bytes]:
    """The sealed files of a bundle of `small_pipeline`."""
    return _sealed(small_pipeline(name), small_model(slope), slope, as_of)


def _sealed(
    pipeline: Pipeline, model: bytes, slope: float, as_of: str = "2024-01-31", **lookups: float
) -> dict[str, bytes]:
    instances = [an_instance(number) for number in range(40)]
    rows = pl.DataFrame(
        {
            column: pl.Series([i[column] for i in instances]).cast(dtype)
            if dtype != pl.Datetime("us")
            else pl.Series([datetime.fromisoformat(i[column]) for i in instances], dtype=dtype)
            for column, dtype in pipeline.schema.polars.items()
            if column in pipeline.request_columns
        }
    )
    rows = rows.with_columns(pl.lit(value, pl.Float32).alias(name) for name, value in lookups.items())
    answers = np.array([answer_by_hand(slope, i) + sum(lookups.values()) for i in instances])
    golden = rows.with_columns(prediction=answers)
    files = {
        "features.json": describe_features(pipeline),
        "schema.json": describe_requests(pipeline),
        "thresholds.json": describe_thresholds(pipeline),
        "model.onnx": model,
        "golden.parquet": to_parquet(golden),
        "reference.parquet": to_parquet(golden.with_columns(label="prediction")),
    }
    manifest = {"pipeline": pipeline.name, "as_of": as_of, "candidate": "by_hand", "declaration_hash": pipeline.hash}
    return seal(files, manifest)
