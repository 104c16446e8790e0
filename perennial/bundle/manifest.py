"""Manifest: what a bundle says of itself, so that everything about a served model can be found again.

The same training gives the same bytes: there is no clock in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.featurization.views import feature_views, stale_after, view_name

if TYPE_CHECKING:
    from perennial.declaration import Pipeline
    from perennial.schema import Column


def describe_bundle(
    pipeline: Pipeline, *, as_of: str, candidate: str, code: str, training_set: Mapping[str, Any]
) -> dict[str, Any]:
    """The manifest of the bundle made as of partition `as_of` from a training set's own manifest."""
    return {
        "pipeline": pipeline.name,
        "candidate": candidate,
        "objective": pipeline.objective.summary(),
        "as_of": as_of,
        "declaration_hash": pipeline.hash,
        "code": code,
        "polars_version": pl.__version__,
        "windows": {split: list(keys) for split, keys in training_set["windows"].items()},
        "training_set": {
            name: training_set[name] for name in ("content_hash", "rows", "fitted_rows", "table_versions")
        },
    }


def describe_features(pipeline: Pipeline) -> bytes:
    """`features.json`: each feature with its kind and its stored expression."""
    return _json([{"name": f.name, "kind": f.kind, "stored": f.stored} for f in pipeline.checked_features])


def describe_requests(pipeline: Pipeline) -> bytes:
    """`schema.json`: what a prediction request carries, and which clock its monitoring follows."""
    declared = pipeline.schema.columns
    columns = [
        {"name": name, "kind": c.kind, "nullable": c.nullable, "unit": c.unit, "meaning": c.meaning, **_personal(c)}
        for name, c in ((name, declared.get(name)) for name in pipeline.request_columns)
        if c is not None
    ]
    optional = [name for name in pipeline.key if name not in pipeline.request_columns]
    return _json(
        {
            "event_time": pipeline.time.event_time,
            "timezone": pipeline.time.timezone,
            "every": pipeline.monitoring.every,
            "key": list(pipeline.key),
            "columns": columns,
            "optional": [{"name": n, "kind": declared[n].kind, **_personal(declared[n])} for n in optional],
            **_lookups(pipeline),
        }
    )


def _personal(column: Column) -> dict[str, bool]:
    return {"pii": True} if column.pii else {}


def _lookups(pipeline: Pipeline) -> dict[str, Any]:
    """What the server looks up: each aggregate, where it is online and until when its value may be seen."""
    if not pipeline.checked_aggregates:
        return {}
    declared = {name: sha256 for view in feature_views(pipeline) for name, sha256 in view.features.items()}
    lookups = [
        {
            "name": a.name, "by": list(a.by), "view": view_name(a.by), "declared": declared[a.name],
            "default": a.default, "stale_after": stale_after(pipeline).total_seconds(), "meaning": a.column.meaning,
        }
        for a in pipeline.checked_aggregates
    ]  # fmt: skip
    return {"lookups": lookups}


def describe_thresholds(pipeline: Pipeline) -> bytes:
    """`thresholds.json`: what counts as drift, and how far two ways of running the bundle may differ."""
    return _json(
        {
            "drift_threshold": pipeline.monitoring.drift_threshold,
            "drift_columns": list(pipeline.drift_columns),
            "min_rows": pipeline.monitoring.min_rows,
            "parity_tolerance": pipeline.gates.parity.tolerance,
        }
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()
