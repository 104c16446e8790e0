"""Prediction: a recorded version's answers for the accepted rows of a partition."""

from collections.abc import Iterator

import dagster as dg

from assets.describe import head, rounded, row_counts
from assets.partitioning import any_partition, known_aggregates
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.errors import UnknownModel
from perennial.prediction.scoring import Predictor, refuse_other_lookups
from perennial.stores.clock import Clock
from perennial.stores.lake.aggregates import with_aggregates
from perennial.stores.lake.tables import Outcome, Tables
from perennial.stores.models.bundles import BundleStore


class PredictionConfig(dg.Config):
    """Which version predicts."""

    version: int | None = None
    """A version's number; None takes the champion of the moment, and records which that was."""


def build_predictions(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the predictions asset of `pipeline`."""

    @range_asset(
        pipeline,
        "predictions",
        stage="prediction",
        deps=["accepted", *known_aggregates(pipeline), any_partition(pipeline, "release")],
        description="One version's prediction for each accepted row; the version is recorded with the partition.",
        kinds=frozenset({"onnx", "deltalake"}),
    )
    def predictions(
        context: dg.AssetExecutionContext,
        config: PredictionConfig,
        tables: dg.ResourceParam[Tables],
        bundles: dg.ResourceParam[BundleStore],
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "predictions")
        accepted = run.upstream(tables, "accepted")
        number, sha256 = _version(tables, pipeline, config.version)
        predictor = Predictor(bundles.get(sha256))
        refuse_other_lookups(predictor.bundle, pipeline)
        for keys in run.batches({key: record.rows for key, record in accepted.items()}):
            rows = with_aggregates(tables, pipeline, tables.read(pipeline, "accepted", keys))

            predicted = predictor.predict_rows(rows, key=[*pipeline.key, "partition", "event_time"], version=number)

            outcomes = {
                key: Outcome(
                    inputs={"accepted": accepted[key].content_hash, "bundle": sha256}, provenance={"version": number}
                )
                for key in keys
            }
            tables.save(pipeline, "predictions", predicted, outcomes, at=clock.now())

            parts = predicted.partition_by("partition", as_dict=True)
            for key in keys:
                part = parts[(key,)]
                seen = {
                    "version": number,
                    "bundle": sha256,
                    f"mean [{pipeline.objective.unit}]": rounded(part["prediction"].mean()),  # type: ignore[arg-type]
                    "sample": head(part.drop("partition", "version", "bundle"), schema=pipeline.schema),
                }
                run.written(key, row_counts(part.height) | seen)
        yield from run.finish()

    return predictions


def _version(tables: Tables, pipeline: Pipeline, number: int | None) -> tuple[int, str]:
    """Number and bundle of the version that predicts. Raises UnknownModel when there is none."""
    operations = tables.operations
    version = operations.champion(pipeline.name) if number is None else operations.version(pipeline.name, number)
    if version is None:
        raise UnknownModel(
            "no version serves" if number is None else f"there is no version {number}",
            where=pipeline.name,
            found=f"versions {[v.number for v in operations.versions(pipeline.name)]}",
            expected="a released version",
            hint=f"perennial train {pipeline.name} AS_OF",
        )
    return version.number, version.bundle_sha256
