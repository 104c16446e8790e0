"""Recording: what MLflow is told of a fit, and how a person gets from one system to the other."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from perennial.bundle.bundle import Bundle
from perennial.declaration import Pipeline
from perennial.evaluation.comparison import BUNDLE, Comparison
from perennial.evaluation.importance import Worth, to_json
from perennial.evaluation.pictures import answer_pictures, learning_curve_picture
from perennial.graph.records import PartitionRecord
from perennial.objective import Objective
from perennial.training.candidates.base import Candidate
from perennial.training.fitting import Trial, parameters_of
from perennial.training.tracking import RunRecord, record_id


def candidate_record(  # noqa: PLR0913 - what a run is made of
    context: dg.AssetExecutionContext,
    pipeline: Pipeline,
    candidate: Candidate,
    trial: Trial,
    *,
    training_set: PartitionRecord,
    code: str,
    dagster_ui: str,
    started_at: datetime,
    ended_at: datetime,
) -> RunRecord:
    """The MLflow run of one candidate as of one partition."""
    as_of = context.partition_key
    curve = trial.fitted.curve
    return RunRecord(
        id=record_id(
            pipeline=pipeline.name,
            as_of=as_of,
            candidate=candidate.name,
            content_hash=training_set.content_hash,
            attempt=context.run.run_id,
        ),
        experiment=pipeline.name,
        name=f"{candidate.name} {as_of}",
        started_at=started_at,
        ended_at=ended_at,
        parameters=parameters_of(candidate) | {"seed": pipeline.seed, "rounds": trial.fitted.rounds or 0},
        metrics=trial.metrics,
        curves={"curve_train": curve.train, "curve_validation": curve.validation} if curve else {},
        tags=run_tags(context, pipeline, training_set.provenance, code=code, dagster_ui=dagster_ui),
        artifacts=_pictures(trial, pipeline.objective),
    )


def _pictures(trial: Trial, objective: Objective) -> dict[str, bytes]:
    """The answers for the validation rows and, of a fit in rounds, its learning curve."""
    curve = trial.fitted.curve
    pictures = answer_pictures(trial.outcomes, trial.predictions, objective=objective)
    if curve is None:
        return pictures
    unit = curve.loss or objective.error_unit
    return pictures | {"learning_curve.png": learning_curve_picture(curve, unit=unit)}


def run_tags(
    context: dg.AssetExecutionContext,
    pipeline: Pipeline,
    training_set: Mapping[str, Any],
    *,
    code: str,
    dagster_ui: str,
) -> dict[str, str]:
    """What identifies a fit: code, declaration, data, and the Dagster run that did it."""
    versions = training_set["table_versions"]
    return {
        "as_of": context.partition_key,
        "code": code,
        "mlflow.source.git.commit": code.partition("+")[0],
        "declaration_hash": pipeline.hash,
        "training_set": str(training_set["content_hash"]),
        **{f"table_version.{name}": str(version) for name, version in versions.items()},
        "dagster.run_id": context.run.run_id,
        "dagster.run_url": f"{dagster_ui}/runs/{context.run.run_id}",
    }


def evaluation_record(  # noqa: PLR0913 - what a run is made of
    context: dg.AssetExecutionContext,
    pipeline: Pipeline,
    bundle: Bundle,
    compared: Comparison,
    *,
    pictures: Mapping[str, bytes],
    worths: Sequence[Worth],
    training_set: PartitionRecord,
    dagster_ui: str,
    started_at: datetime,
    ended_at: datetime,
) -> RunRecord:
    """The MLflow run of one sealed test: every model's metrics on the same rows, what is undefined left out."""
    as_of = context.partition_key
    return RunRecord(
        id=record_id(
            pipeline=pipeline.name,
            as_of=as_of,
            candidate="evaluation",
            content_hash=bundle.sha256,
            attempt=context.run.run_id,
        ),
        experiment=pipeline.name,
        name=f"evaluation {as_of}",
        started_at=started_at,
        ended_at=ended_at,
        parameters={"bundle": bundle.sha256, "candidate": bundle.manifest["candidate"]},
        metrics={
            f"test_{name}" if model == BUNDLE else f"test_{name}.{model}": measure.value
            for model, by in compared.measures.items()
            for name, measure in by.items()
            if math.isfinite(measure.value)
        }
        | {f"importance.{worth.name}": worth.importance for worth in worths if worth.importance is not None},
        tags=run_tags(context, pipeline, training_set.provenance, code=bundle.manifest["code"], dagster_ui=dagster_ui),
        artifacts={**pictures, "features.json": to_json(worths)},
    )
