"""Versions: what is registered of a bundle, gathered from the steps that made and judged it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from perennial.comparison import BUNDLE, Comparison
from perennial.declaration import Pipeline
from perennial.stores.artifacts import Artifacts
from perennial.stores.tables import Tables


def bundle_of(artifacts: Artifacts, pipeline: Pipeline, as_of: str) -> str:
    """The sha256 of the bundle made as of a partition."""
    return str(json.loads(artifacts.get(pipeline.name, as_of, "bundle")["proof.json"])["sha256"])


def version_attributes(
    tables: Tables, artifacts: Artifacts, pipeline: Pipeline, as_of: str, manifest: Mapping[str, Any]
) -> dict[str, Any]:
    """The attributes of a version: where it comes from, how it was judged, what retraining compares later.

    `labels` counts those it was made from, `known_labels` those of every accepted
    partition up to its as-of.
    """
    record = tables.records(pipeline, "training_set")[as_of]
    evaluated = artifacts.get(pipeline.name, as_of, "evaluation")
    compared = Comparison.from_json(evaluated["comparison.json"])
    labels = tables.records(pipeline, "labels")
    return {
        "as_of_instant": pipeline.time.known_at(as_of).isoformat(),
        "candidate": manifest["candidate"],
        "record": evaluated["record.txt"].decode(),
        "code": manifest["code"],
        "declaration_hash": manifest["declaration_hash"],
        "windows": manifest["windows"],
        "training_set": record.content_hash,
        "table_versions": record.provenance["table_versions"],
        "labels": record.rows,
        "known_labels": sum(labels[key].rows for key in labels if key <= as_of),
        "metric": pipeline.objective.metric,
        "test": {name: measure.as_dict() for name, measure in compared.measures[BUNDLE].items()},
    }
