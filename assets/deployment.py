"""Deployment: a judged bundle becomes a numbered version, and a version that passed every gate serves."""

import dagster as dg

from assets.as_of import as_of_asset, key_of
from assets.describe import table
from perennial.declaration import Pipeline
from perennial.deployment import Refusal
from perennial.featurization.catalogue import catalogue_of, rows_of
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Tables
from perennial.stores.models.artifacts import Artifacts
from perennial.stores.models.bundles import BundleStore
from perennial.stores.models.handover import Handover
from perennial.stores.models.tracking import Tracking
from perennial.stores.models.versions import number_of, serving_of, version_attributes
from perennial.training.tracking import RECORD_TAG


def build_registered_model(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the registered_model asset of `pipeline`."""

    @as_of_asset(pipeline, "registered_model", stage="deployment", deps=[key_of(pipeline, "dossier")], kinds={"mlflow"})
    def registered_model(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        artifacts: dg.ResourceParam[Artifacts],
        bundles: dg.ResourceParam[BundleStore],
        tracking: dg.ResourceParam[Tracking],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        """The bundle's version number, from the operations database, mirrored in MLflow's registry."""
        as_of = context.partition_key
        handover = Handover(tables=tables, artifacts=artifacts, pipeline=pipeline, as_of=as_of)
        sha256 = handover.bundle()

        attributes = version_attributes(handover, bundles.get(sha256))
        number = tables.operations.register_version(pipeline.name, sha256, as_of, attributes, at=clock.now())

        tracking.mirror_version(
            pipeline=pipeline.name,
            number=number,
            bundle_sha256=sha256,
            source=bundles.get(sha256).path.as_uri(),
            tags={name: attributes[name] for name in ("candidate", "code")}
            | {"as_of": as_of, RECORD_TAG: attributes["record"]},
        )
        return dg.MaterializeResult(
            metadata={"version": number, "bundle": sha256, "attributes": dg.MetadataValue.json(attributes)}
        )

    return registered_model


def build_release(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the release asset of `pipeline`."""

    @as_of_asset(pipeline, "release", stage="deployment", deps=[key_of(pipeline, "registered_model")], kinds={"sqlite"})
    def release(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        artifacts: dg.ResourceParam[Artifacts],
        tracking: dg.ResourceParam[Tracking],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        """The version serves, if every gate of its bundle is passed now and nothing changed since it was judged."""
        as_of, operations = context.partition_key, tables.operations
        sha256 = Handover(tables=tables, artifacts=artifacts, pipeline=pipeline, as_of=as_of).bundle()
        number = number_of(operations.versions(pipeline.name), sha256, where=f"{pipeline.name} as of {as_of}")

        actor = context.run.tags.get("perennial/actor", "dagster")
        reason = context.run.tags.get("perennial/reason", f"trained as of {as_of}")
        answer = operations.release(pipeline.name, number, actor=actor, reason=reason, at=clock.now())

        if isinstance(answer, Refusal):
            raise dg.Failure(f"refused: {answer.reason}", metadata={"rule": answer.rule}, allow_retries=False)
        tracking.mirror_champion(pipeline=pipeline.name, number=number)
        serving = serving_of(pipeline, operations.champion(pipeline.name))
        return dg.MaterializeResult(
            metadata={
                "version": number,
                "replaces": str(answer.previous or "nothing"),
                "as_of": as_of,
                "bundle": sha256,
                "actor": actor,
                "reason": reason,
                "ledger entry": answer.entry,
                "already served": answer.repeated,
                "features": table(rows_of(catalogue_of(pipeline), serving)),
            }
        )

    return release
