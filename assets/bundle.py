"""Bundle: features, model, schema, thresholds and golden rows, sealed together, and replayed every way it can run."""

import json
from typing import Any

import dagster as dg

from assets.as_of import as_of_asset, key_of
from assets.describe import table
from perennial.bundle.bundle import seal
from perennial.bundle.manifest import describe_bundle, describe_features, describe_requests, describe_thresholds
from perennial.bundle.onnx_model import answer_with_onnx
from perennial.bundle.parity import ParityResult, compare
from perennial.declaration import Pipeline
from perennial.errors import BundleError
from perennial.featurization.expressions import featurize
from perennial.prediction.scoring import Predictor
from perennial.stores.code import Code
from perennial.stores.lake.tables import Tables
from perennial.stores.models.artifacts import Artifacts
from perennial.stores.models.bundles import BundleStore
from perennial.stores.models.handover import Handover
from perennial.stores.production.model_server import predict_over_http


def build_bundle(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the bundle asset of `pipeline`."""

    @as_of_asset(pipeline, "bundle", stage="evaluation", deps=[key_of(pipeline, "selected")], kinds={"onnx"})
    def bundle(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        artifacts: dg.ResourceParam[Artifacts],
        bundles: dg.ResourceParam[BundleStore],
        code: dg.ResourceParam[Code],
    ) -> dg.MaterializeResult[None]:
        """One immutable artifact, named by its sha256, whose golden rows were replayed every way it can run."""
        as_of = context.partition_key
        handover = Handover(tables=tables, artifacts=artifacts, pipeline=pipeline, as_of=as_of)
        chosen = handover.take("selected")
        training_set = handover.training_set.provenance

        choice = json.loads(chosen["choice.json"])
        described = describe_bundle(
            pipeline, as_of=as_of, candidate=choice["candidate"], code=code.version, training_set=training_set
        )
        sha256 = bundles.put(seal(_files(pipeline, chosen), described))
        ways = _replay(pipeline, bundles, sha256, context.log)

        evidence = {"sha256": sha256, "parity": {way: result.as_dict() for way, result in ways.items()}}
        handover.give("bundle", {"proof.json": json.dumps(evidence).encode()})

        return dg.MaterializeResult(
            metadata={
                "sha256": sha256,
                "path": dg.MetadataValue.path(str(bundles.path(sha256))),
                "candidate": choice["candidate"],
                "parity": table(_row(way, result) for way, result in ways.items()),
                "manifest": dg.MetadataValue.json(described),
            }
        )

    return bundle


def _files(pipeline: Pipeline, chosen: dict[str, bytes]) -> dict[str, bytes]:
    return {
        "features.json": describe_features(pipeline),
        "schema.json": describe_requests(pipeline),
        "thresholds.json": describe_thresholds(pipeline),
        "model.onnx": chosen["model.onnx"],
        "golden.parquet": chosen["golden.parquet"],
        "reference.parquet": chosen["reference.parquet"],
    }


def _row(way: str, result: ParityResult) -> dict[str, Any]:
    return {
        "way": way,
        "golden rows": result.rows,
        "largest difference": result.largest,
        "within the tolerance": result.within,
    }


def _replay(
    pipeline: Pipeline, bundles: BundleStore, sha256: str, log: dg.DagsterLogManager
) -> dict[str, ParityResult]:
    """The golden rows through ONNX alone, through the batch predictor and over HTTP, against the fitted model."""
    opened = bundles.get(sha256)
    fitted, rows = opened.golden["prediction"].to_numpy(), opened.golden.drop("prediction")
    tolerance = pipeline.gates.parity.tolerance
    ways: dict[str, Any] = {
        "onnx": answer_with_onnx(opened.model, featurize(rows, pipeline.checked_features)),
        "batch": Predictor(opened).predict(rows),
    }
    try:
        ways["http"] = predict_over_http(opened, rows)
    except BundleError:  # the gate refuses a way without answers, and the dossier is still written
        log.exception("the golden rows got no answer over HTTP")
        ways["http"] = []
    return {way: compare(fitted, answer, tolerance=tolerance) for way, answer in ways.items()}
