"""Manifest: a bundle says where it comes from, and the same training says the same."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest

from perennial.bundle.manifest import describe_bundle, describe_features, describe_requests, describe_thresholds
from perennial.declaration import Pipeline
from perennial.featurization.expressions import Feature
from pipelines.delivery_eta import delivery_eta
from pipelines.taxi_eta import taxi_eta

BOTH = pytest.mark.parametrize("pipeline", [delivery_eta, taxi_eta], ids=lambda pipeline: pipeline.name)
TRAINING_SET = {
    "as_of": "2024-02-15T01:00:00+00:00",
    "content_hash": "c0ffee",
    "rows": 17_000,
    "fitted_rows": 14_000,
    "table_versions": {"features": 3, "labels": 3},
    "windows": {"train": ("2024-01-01",), "validation": ("2024-01-02",), "test": ("2024-01-03",)},
}


def describe(pipeline: Pipeline) -> dict[str, object]:
    return describe_bundle(pipeline, as_of="2024-02-14", candidate="linear", code="abc", training_set=TRAINING_SET)


def test_a_bundle_names_its_rows_its_declaration_and_its_code() -> None:
    described = describe(delivery_eta)

    assert described == {
        "pipeline": "delivery_eta",
        "candidate": "linear",
        "objective": {"metric": "mae", "unit": "minutes", "goal": 3.0},
        "as_of": "2024-02-14",
        "declaration_hash": delivery_eta.hash,
        "code": "abc",
        "polars_version": pl.__version__,
        "windows": {"train": ["2024-01-01"], "validation": ["2024-01-02"], "test": ["2024-01-03"]},
        "training_set": {
            "content_hash": "c0ffee",
            "rows": 17_000,
            "fitted_rows": 14_000,
            "table_versions": {"features": 3, "labels": 3},
        },
    }


@BOTH
def test_the_same_declaration_gives_the_same_bytes(pipeline: Pipeline) -> None:
    again = replace(pipeline)

    assert describe(again) == describe(pipeline)
    assert describe_features(again) == describe_features(pipeline)
    assert describe_requests(again) == describe_requests(pipeline)
    assert describe_thresholds(again) == describe_thresholds(pipeline)


@BOTH
def test_features_are_read_back_as_they_were_declared(pipeline: Pipeline) -> None:
    stored = tuple(Feature(**feature) for feature in json.loads(describe_features(pipeline)))

    assert stored == pipeline.checked_features
    assert [feature.expression.meta.output_name() for feature in stored] == [f.name for f in pipeline.checked_features]


@BOTH
def test_a_request_carries_what_features_read_and_may_carry_the_rest_of_the_key(pipeline: Pipeline) -> None:
    schema = json.loads(describe_requests(pipeline))

    looked_up = {lookup["name"] for lookup in schema["lookups"]}
    assert looked_up == {aggregate.name for aggregate in pipeline.checked_aggregates}
    carried = [name for name in pipeline.request_columns if name not in looked_up]
    assert [column["name"] for column in schema["columns"]] == carried
    assert schema["key"] == list(pipeline.key)
    required, optional = ({column["name"] for column in schema[part]} for part in ("columns", "optional"))
    assert not required & optional
    assert set(pipeline.key) <= required | optional
    assert (schema["timezone"], schema["every"]) == (pipeline.time.timezone, pipeline.monitoring.every)


@BOTH
def test_thresholds_are_those_declared(pipeline: Pipeline) -> None:
    assert json.loads(describe_thresholds(pipeline)) == {
        "drift_threshold": pipeline.monitoring.drift_threshold,
        "drift_columns": list(pipeline.drift_columns),
        "min_rows": pipeline.monitoring.min_rows,
        "parity_tolerance": pipeline.gates.parity.tolerance,
    }
