"""Versions: what is registered of a bundle, gathered from the steps that made and judged it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from perennial.bundle.bundle import Bundle
from perennial.declaration import Pipeline
from perennial.deployment import Version
from perennial.errors import UnknownModel
from perennial.evaluation.comparison import BUNDLE, Comparison
from perennial.evaluation.importance import from_json
from perennial.featurization.catalogue import Serving
from perennial.stores.models.artifacts import Artifacts
from perennial.stores.models.handover import Handover


def bundle_of(artifacts: Artifacts, pipeline: Pipeline, as_of: str) -> str:
    """The sha256 of the bundle made as of a partition."""
    return str(json.loads(artifacts.get(pipeline.name, as_of, "bundle")["proof.json"])["sha256"])


def number_of(versions: Sequence[Version], sha256: str, *, where: str) -> int:
    """The number bound to a bundle. Raises UnknownModel when it is not registered yet."""
    for version in versions:
        if version.bundle_sha256 == sha256:
            return version.number
    raise UnknownModel(
        "the bundle is not registered",
        where=where,
        found=f"bundle {sha256[:12]}",
        expected="a version of it",
        hint="materialize registered_model first",
    )


def version_attributes(handover: Handover, bundle: Bundle) -> dict[str, Any]:
    """The attributes of a version: where it comes from, how it was judged, what retraining compares later.

    `labels` counts those it was made from, `known_labels` is `Tables.labels_until` its as-of.
    """
    pipeline, tables, as_of, manifest = handover.pipeline, handover.tables, handover.as_of, bundle.manifest
    record = handover.training_set
    evaluated = handover.take("evaluation", bundle=bundle.sha256)
    compared = Comparison.from_json(evaluated["comparison.json"])
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
        "known_labels": tables.labels_until(pipeline, as_of),
        "metric": pipeline.objective.metric,
        "test": {name: measure.as_dict() for name, measure in compared.measures[BUNDLE].items()},
        "features": json.loads(evaluated["features.json"]),
    }


def serving_of(pipeline: Pipeline, version: Version | None) -> Serving | None:
    """What was measured of the features of `version`, for the catalogue."""
    if version is None:
        return None
    return Serving(
        model=f"version {version.number}",
        unit=f"{version.attributes['metric']}, {pipeline.objective.error_unit}",
        measured=from_json(version.attributes.get("features", ())),
    )
