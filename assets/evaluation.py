"""Evaluation: the sealed test, opened once, for the bundle, the champion and the baselines alike."""

import math
import time
from typing import Any

import dagster as dg
import polars as pl

from assets.as_of import as_of_asset, key_of
from assets.describe import picture, rounded, table
from assets.recording import Step, Tested, evaluation_record
from perennial.bundle.bundle import Bundle
from perennial.bundle.onnx_model import answer_with_onnx
from perennial.declaration import Pipeline
from perennial.errors import BundleError
from perennial.evaluation.blocks import Measure
from perennial.evaluation.comparison import BUNDLE, ChampionAnswers, Comparison, compare_models
from perennial.evaluation.importance import measure_worth, to_json
from perennial.evaluation.pictures import answer_pictures, comparison_picture
from perennial.featurization.catalogue import Serving, catalogue_of, rows_of
from perennial.featurization.expressions import featurize
from perennial.prediction.scoring import Predictor
from perennial.settings import Home
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Tables
from perennial.stores.models.artifacts import Artifacts
from perennial.stores.models.bundles import BundleStore
from perennial.stores.models.handover import Handover
from perennial.stores.models.tracking import Tracking
from perennial.stores.parquet import from_parquet


def build_evaluation(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the evaluation asset of `pipeline`."""

    @as_of_asset(pipeline, "evaluation", stage="evaluation", deps=[key_of(pipeline, "bundle")], kinds={"mlflow"})
    def evaluation(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        artifacts: dg.ResourceParam[Artifacts],
        bundles: dg.ResourceParam[BundleStore],
        tracking: dg.ResourceParam[Tracking],
        home: dg.ResourceParam[Home],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        """How wrong the bundle, the champion and the baselines are on the same rows, and how sure that is."""
        as_of, started_at = context.partition_key, clock.now()
        handover = Handover(tables=tables, artifacts=artifacts, pipeline=pipeline, as_of=as_of)
        rows = from_parquet(handover.take("training_set")["test.parquet"])
        bundle = bundles.get(handover.bundle())

        tested = _test(
            pipeline,
            bundle,
            rows,
            baselines=_baselines(handover, rows, shipped=bundle.manifest["candidate"]),
            champion=_champion(pipeline, tables, bundles, rows),
        )

        step = Step(context=context, handover=handover, home=home, started_at=started_at, ended_at=clock.now())
        record = evaluation_record(step, tested)
        files = {"comparison.json": tested.compared.to_json(), "features.json": to_json(tested.worths)}
        handover.give("evaluation", files | {"record.txt": record.id.encode()}, bundle=bundle.sha256)
        recorded = tracking.record(record)

        return dg.MaterializeResult(metadata=_describe(pipeline, tested, recorded.url, rows=rows.height))

    return evaluation


def _test(
    pipeline: Pipeline,
    bundle: Bundle,
    rows: pl.DataFrame,
    *,
    baselines: dict[str, Any],
    champion: ChampionAnswers | None,
) -> Tested:
    """Open the sealed test: how the bundle answers its `rows`, held against the answers of the others."""
    predictor = Predictor(bundle)
    answers = predictor.predict(rows)
    worths = measure_worth(pipeline, predictor, rows, timer=time.perf_counter)
    compared = compare_models(pipeline, rows, bundle=answers, baselines=baselines, champion=champion)
    pictures = answer_pictures(rows["label"].to_numpy(), answers, objective=pipeline.objective)
    pictures = {"comparison.png": _picture(pipeline, compared), **pictures}
    return Tested(bundle=bundle, compared=compared, worths=worths, pictures=pictures)


def _describe(pipeline: Pipeline, tested: Tested, url: str | None, *, rows: int) -> dict[str, Any]:
    objective, compared = pipeline.objective, tested.compared
    metric, unit = compared.measures[BUNDLE][objective.metric], objective.error_unit
    judged = Serving(model="this bundle", unit=f"{objective.metric}, {unit}", measured=tested.worths)
    return {
        objective.describe(objective.metric): rounded(metric.value),
        f"{metric.confidence:.0%} interval [{unit}]": f"{metric.low:.4g} to {metric.high:.4g} ({metric.days} days)",
        f"goal [{unit}]": objective.goal,
        "models": table(_rows(pipeline, compared)),
        "slices": table(_slices(pipeline, compared)),
        "features": table(rows_of(catalogue_of(pipeline), judged)),
        "rows": rows,
        "mlflow": dg.MetadataValue.url(url) if url else "follows later",
        **{name.removesuffix(".png"): picture(png, name) for name, png in tested.pictures.items()},
    }


def _baselines(handover: Handover, rows: pl.DataFrame, *, shipped: str) -> dict[str, Any]:
    """The answers of every baseline but the one that ships, each fitted on the rows that the bundle learned from."""
    features = featurize(rows, handover.pipeline.checked_features)
    return {
        candidate.name: answer_with_onnx(handover.take(candidate.name)["model.onnx"], features)
        for candidate in handover.pipeline.candidates
        if candidate.baseline and candidate.name != shipped
    }


def _champion(pipeline: Pipeline, tables: Tables, bundles: BundleStore, rows: pl.DataFrame) -> ChampionAnswers | None:
    """The champion's answers; one that cannot answer these rows is no evidence, and the gate says so."""
    version = tables.operations.champion(pipeline.name)
    if version is None:
        return None
    windows = version.attributes["windows"]
    fitted = frozenset([*windows["train"], *windows["validation"]])
    try:
        answers = Predictor(bundles.get(version.bundle_sha256)).predict(rows)
    except (BundleError, pl.exceptions.PolarsError) as error:
        return ChampionAnswers(version=version.number, fitted=fitted, answers=None, problem=str(error))
    return ChampionAnswers(version=version.number, fitted=fitted, answers=answers)


def _picture(pipeline: Pipeline, compared: Comparison) -> bytes:
    metric = pipeline.objective.metric
    measured = {model: by[metric] for model, by in compared.measures.items()}
    return comparison_picture(
        {model: (m.value, m.low, m.high) for model, m in measured.items()},
        title=f"{metric} on the sealed test",
        unit=pipeline.objective.error_unit,
    )


def _rows(pipeline: Pipeline, compared: Comparison) -> list[dict[str, str]]:
    """A row a measure, a column a model: a champion and many baselines still fit the page."""
    return [
        {
            "measure": pipeline.objective.describe(name),
            **{model: _with_interval(m[name]) for model, m in compared.measures.items()},
        }
        for name in compared.measures[BUNDLE]
    ]


def _with_interval(measure: Measure) -> str:
    if math.isnan(measure.value):
        return "undefined"
    return f"{measure.value:.3g} ({measure.low:.3g} to {measure.high:.3g})"


def _slices(pipeline: Pipeline, compared: Comparison) -> list[dict[str, object]]:
    name = pipeline.objective.describe(pipeline.objective.metric)
    limits = {declared.name: declared.limit for declared in pipeline.slices}
    return [
        {"slice": each.name, name: each.value, "limit": limits[each.name], "rows": each.rows}
        for each in compared.slices.values()
    ]
