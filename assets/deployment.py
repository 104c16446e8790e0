"""Deployment: a judged bundle becomes a numbered version, and a version that passed every gate serves."""

from typing import Any

import dagster as dg

from assets.as_of import as_of_asset, key_of
from assets.describe import table
from perennial.declaration import Pipeline
from perennial.deployment import Refusal
from perennial.errors import ReleaseRefused
from perennial.stores.artifacts import Artifacts
from perennial.stores.bundles import BundleStore
from perennial.stores.clock import Clock
from perennial.stores.operations import Operations
from perennial.stores.proofs import read_proof
from perennial.stores.tables import Tables
from perennial.stores.tracking import Tracking


def build_registered_model(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the registered_model asset of `pipeline`."""

    @dg.asset(
        **as_of_asset(
            pipeline, "registered_model", stage="deployment", deps=[key_of(pipeline, "dossier")], kinds={"mlflow"}
        )
    )
    def registered_model(
        context: dg.AssetExecutionContext,
        operations: dg.ResourceParam[Operations],
        tables: dg.ResourceParam[Tables],
        artifacts: dg.ResourceParam[Artifacts],
        bundles: dg.ResourceParam[BundleStore],
        tracking: dg.ResourceParam[Tracking],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        """The bundle's version number, from the operations database, mirrored in MLflow's registry."""
        as_of = context.partition_key
        sha256 = read_proof(artifacts, pipeline, as_of)["sha256"]
        manifest = bundles.get(sha256).manifest

        attributes = _attributes(pipeline, as_of, manifest, read_proof(artifacts, pipeline, as_of, "evaluation"))
        number = operations.register_version(pipeline.name, sha256, as_of, attributes, at=clock.now())

        mirrored = tracking.mirror_version(
            pipeline.name, number, sha256, None, _tags(attributes), str(bundles.path(sha256))
        )
        return dg.MaterializeResult(
            metadata={
                "version": number,
                "bundle": sha256,
                "mlflow": dg.MetadataValue.url(mirrored.url) if mirrored and mirrored.url else "follows later",
                "attributes": dg.MetadataValue.json(attributes),
            }
        )

    return registered_model
