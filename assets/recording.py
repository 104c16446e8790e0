"""Recording: what MLflow is told of a fit, and how a person gets from one system to the other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg

from perennial.bundle.bundle import Bundle
from perennial.evaluation.comparison import BUNDLE, Comparison
from perennial.evaluation.importance import Worth, to_json
from perennial.evaluation.pictures import answer_pictures, learning_curve_picture
from perennial.objective import Objective
from perennial.settings import Home
from perennial.stores.models.handover import Handover
from perennial.training.candidates.base import Candidate, LearningCurve
from perennial.training.fitting import Trial, parameters_of
from perennial.training.tracking import RunRecord, record_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The step of a training that MLflow is told of."""

    context: dg.AssetExecutionContext
    handover: Handover
    home: Home
    started_at: datetime
    ended_at: datetime

    def record(
        self,
        name: str,
        content_hash: str,
        *,
        code: str,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        artifacts: Mapping[str, bytes],
        curve: LearningCurve | None = None,
    ) -> RunRecord:
        """The MLflow run `name` of this step, which worked on content of that hash."""
        as_of = self.context.partition_key
        return RunRecord(
            id=record_id(
                pipeline=self.handover.pipeline.name,
                as_of=as_of,
                candidate=name,
                content_hash=content_hash,
                attempt=self.context.run.run_id,
            ),
            experiment=self.handover.pipeline.name,
            name=f"{name} {as_of}",
            started_at=self.started_at,
            ended_at=self.ended_at,
            parameters=parameters,
            metrics=metrics,
            curves={"curve_train": curve.train, "curve_validation": curve.validation} if curve else {},
            tags=self._tags(code),
            artifacts=artifacts,
        )

    def _tags(self, code: str) -> dict[str, str]:
        """What identifies a fit: code, declaration, data, and the Dagster run that did it."""
        learned_from, run_id = self.handover.training_set.provenance, self.context.run.run_id
        versions = learned_from["table_versions"]
        return {
            "as_of": self.context.partition_key,
            "code": code,
            "mlflow.source.git.commit": code.partition("+")[0],
            "declaration_hash": self.handover.pipeline.hash,
            "training_set": str(learned_from["content_hash"]),
            **{f"table_version.{name}": str(version) for name, version in versions.items()},
            "dagster.run_id": run_id,
            "dagster.run_url": f"{self.home.dagster_ui}/runs/{run_id}",
        }


def candidate_record(step: Step, candidate: Candidate, trial: Trial, *, code: str) -> RunRecord:
    """The MLflow run of one candidate as of one partition."""
    pipeline = step.handover.pipeline
    return step.record(
        candidate.name,
        step.handover.training_set.content_hash,
        code=code,
        parameters=parameters_of(candidate) | {"seed": pipeline.seed, "rounds": trial.fitted.rounds or 0},
        metrics=trial.metrics,
        artifacts=_pictures(trial, pipeline.objective),
        curve=trial.fitted.curve,
    )


def _pictures(trial: Trial, objective: Objective) -> dict[str, bytes]:
    """The answers for the validation rows and, of a fit in rounds, its learning curve."""
    curve = trial.fitted.curve
    pictures = answer_pictures(trial.outcomes, trial.predictions, objective=objective)
    if curve is None:
        return pictures
    unit = curve.loss or objective.error_unit
    return pictures | {"learning_curve.png": learning_curve_picture(curve, unit=unit)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What a sealed test found of a bundle."""

    bundle: Bundle
    compared: Comparison
    worths: Sequence[Worth]
    pictures: Mapping[str, bytes]


def evaluation_record(step: Step, tested: Tested) -> RunRecord:
    """The MLflow run of one sealed test: every model's metrics on the same rows, what is undefined left out."""
    manifest = tested.bundle.manifest
    measured = {
        f"test_{name}" if model == BUNDLE else f"test_{name}.{model}": measure.value
        for model, by in tested.compared.measures.items()
        for name, measure in by.items()
        if math.isfinite(measure.value)
    }
    worths = {f"importance.{each.name}": each.importance for each in tested.worths if each.importance is not None}
    return step.record(
        "evaluation",
        tested.bundle.sha256,
        code=manifest["code"],
        parameters={"bundle": tested.bundle.sha256, "candidate": manifest["candidate"]},
        metrics=measured | worths,
        artifacts={**tested.pictures, "features.json": to_json(tested.worths)},
    )
