"""Pipeline: every asset of one declaration, and the asset that stands for a module that does not load."""

import dagster as dg

from assets.aggregates import build_aggregates, build_partials
from assets.bundle import build_bundle
from assets.deployment import build_registered_model, build_release
from assets.drift import build_drift
from assets.evaluation import build_evaluation
from assets.featurization import build_features
from assets.ingestion import build_landed
from assets.labels import build_labels
from assets.monitoring import build_ground_truth, build_inference_log, build_performance
from assets.online import build_online_features
from assets.prediction import build_predictions
from assets.promotion import build_dossier
from assets.summary import build_summary
from assets.training import build_candidate, build_selected, build_training_set
from assets.validation import build_accepted, build_profile
from perennial.declaration import Pipeline

BUILDERS = (
    build_landed,
    build_accepted,
    build_profile,
    build_summary,
    build_features,
    build_labels,
    build_training_set,
    build_selected,
    build_bundle,
    build_evaluation,
    build_dossier,
    build_registered_model,
    build_release,
    build_predictions,
    build_inference_log,
    build_ground_truth,
    build_performance,
    build_drift,
)


def build_assets(pipeline: Pipeline) -> list[dg.AssetsDefinition]:
    """The whole graph of `pipeline`."""
    builders = (build_partials, build_aggregates, build_online_features) if pipeline.aggregates else ()
    rolling = [build(pipeline) for build in builders]
    candidates = [build_candidate(pipeline, candidate) for candidate in pipeline.candidates]
    return [*(build(pipeline) for build in BUILDERS), *rolling, *candidates]


def build_broken(name: str, error: str, trace: str) -> dg.AssetsDefinition:
    """An asset that shows why module `name` does not load, and fails when it is materialized."""

    @dg.asset(
        key=[name, "declaration"],
        group_name=f"{name}_declaration",
        owners=["team:unknown"],
        tags={"pipeline": name},
        description=f"pipelines/{name}.py does not load: {error}",
        metadata={"error": dg.MetadataValue.md(f"```\n{trace}\n```")},
    )
    def declaration() -> None:
        raise dg.Failure(f"pipelines/{name}.py does not load: {error}", allow_retries=False)

    return declaration
