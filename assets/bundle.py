"""Bundle: features, model, schema, thresholds and golden rows, sealed together, and proved to agree."""

import json

import dagster as dg

from assets.as_of import as_of_asset, key_of
from assets.describe import table
from perennial.bundle import seal
from perennial.declaration import Pipeline
from perennial.manifest import manifest_of, request_schema_of, thresholds_of
from perennial.parity import compare
from perennial.prediction import Predictor
from perennial.stores.artifacts import Artifacts
from perennial.stores.bundles import BundleStore
from perennial.stores.code import Code
from perennial.stores.model_server import predict_over_http
from perennial.stores.parquet import from_parquet
from perennial.stores.tables import Tables


def build_bundle(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the bundle asset of `pipeline`."""

    @dg.asset(
        **as_of_asset(
            pipeline, "bundle", stage="evaluation", deps=[key_of(pipeline, "selected")], kinds={"onnx", "yaml"}
        )
    )
    def bundle(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        artifacts: dg.ResourceParam[Artifacts],
        bundles: dg.ResourceParam[BundleStore],
        code: dg.ResourceParam[Code],
    ) -> dg.MaterializeResult[None]:
        """One immutable artifact, named by its sha256, whose golden rows were replayed every way it can run."""
        as_of = context.partition_key
        chosen = artifacts.get(pipeline.name, as_of, "selected")
        choice = json.loads(chosen["choice.json"])
        training_set = tables.records(pipeline, "training_set")[as_of]

        sealed = seal(
            {
                "features.json": ...,
            },
            manifest_of(pipeline, as_of, choice["candidate"], training_set, code.version),
        )
