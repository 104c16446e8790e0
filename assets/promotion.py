"""Promotion: all evidence on one bundle, and the verdict of each gate as a blocking check."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from assets.as_of import as_of_asset, key_of
from assets.describe import table
from perennial.bundle.parity import ParityResult
from perennial.declaration import Pipeline
from perennial.evaluation.comparison import Comparison
from perennial.promotion.dossier import Dossier, Verdict
from perennial.promotion.gates import GATES, judge
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Tables
from perennial.stores.models.artifacts import Artifacts
from perennial.stores.models.handover import Handover

CLAIMS = {
    "better_than_baselines": "The bundle's error is lower than each baseline's, interval included.",
    "not_worse_than_champion": "The bundle's error is within the declared margin of the champion's, interval included.",
    "slices": "No declared slice is beyond its limit, and each has enough rows.",
    "parity": "Every way of running the bundle gives the fitted model's own answers on the golden rows.",
}


def build_dossier(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the dossier asset of `pipeline`, with a blocking check a gate."""
    key = key_of(pipeline, "dossier")

    @as_of_asset(
        pipeline,
        "dossier",
        stage="evaluation",
        deps=[key_of(pipeline, "evaluation")],
        kinds={"json"},
        check_specs=[dg.AssetCheckSpec(gate, asset=key, blocking=True, description=CLAIMS[gate]) for gate in GATES],
    )
    def dossier(
        context: dg.AssetExecutionContext,
        artifacts: dg.ResourceParam[Artifacts],
        tables: dg.ResourceParam[Tables],
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        """The evidence on one bundle with a verdict per gate; always written, whatever the verdicts."""
        as_of = context.partition_key
        handover = Handover(tables=tables, artifacts=artifacts, pipeline=pipeline, as_of=as_of)
        proof = json.loads(handover.take("bundle")["proof.json"])
        evaluated = handover.take("evaluation", bundle=proof["sha256"])

        judged = _judge(pipeline, as_of, proof, Comparison.from_json(evaluated["comparison.json"]))

        tables.operations.save_dossier(judged, at=clock.now())
        if not judged.passed:
            tables.operations.append_decision(
                pipeline.name,
                "refusal",
                f"as of {as_of}",
                "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in judged.refused),
                {"bundle": judged.bundle_sha256, "run_id": context.run.run_id},
                at=clock.now(),
            )

        yield dg.MaterializeResult(metadata={"passed": judged.passed, "verdicts": table(map(_row, judged.verdicts))})
        for verdict in judged.verdicts:
            yield _check(verdict)

    return dossier


def _judge(pipeline: Pipeline, as_of: str, proof: Mapping[str, Any], compared: Comparison) -> Dossier:
    parity = {way: ParityResult(**result) for way, result in proof["parity"].items()}
    return Dossier(
        pipeline=pipeline.name,
        bundle_sha256=proof["sha256"],
        as_of=as_of,
        champion=getattr(compared.champion, "version", None),
        verdicts=judge(compared.evidence(parity), pipeline.gates, pipeline.slices),
    )


def _check(verdict: Verdict) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=verdict.gate,
        passed=verdict.passed,
        metadata={
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            "evidence": dg.MetadataValue.json(dict(verdict.evidence)),
        },
    )


def _row(verdict: Verdict) -> dict[str, str]:
    outcome = verdict.outcome.replace("_", " ")
    return {"gate": verdict.gate, "outcome": outcome if verdict.passed else f"**{outcome}**", "reason": verdict.reason}
