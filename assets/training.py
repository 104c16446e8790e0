"""Training: the rows of one as-of, a model a candidate, and the one selected."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import polars as pl

from assets.as_of import as_of_asset, key_of, span
from assets.describe import instant, picture, rounded, row_counts, table
from assets.leakage import leaks_check, no_leaks_spec
from assets.partitioning import window_mapping
from assets.recording import Step, candidate_record
from perennial.compliance import check_lawful
from perennial.declaration import Pipeline
from perennial.errors import HistoryTooShort, NoMatureLabels, PartitionBlocked, RuleBroken
from perennial.graph.records import PartitionRecord
from perennial.objective import Objective
from perennial.settings import Home
from perennial.stores.clock import Clock
from perennial.stores.code import Code
from perennial.stores.lake.leakage import audit_training_set
from perennial.stores.lake.tables import Outcome, Tables
from perennial.stores.lake.windows import Collected, collect_training_set, held_out_rows
from perennial.stores.models.artifacts import Artifacts
from perennial.stores.models.handover import Handover
from perennial.stores.models.tracking import Tracking
from perennial.stores.parquet import from_parquet, to_parquet
from perennial.training.candidates.base import Candidate, Fitted
from perennial.training.fitting import Trial, answers, choose, fit_again, fit_candidate


def build_training_set(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the training_set asset of `pipeline`."""
    window = window_mapping(pipeline)

    @as_of_asset(
        pipeline,
        "training_set",
        stage="training",
        deps=[
            dg.AssetDep(key_of(pipeline, "features"), partition_mapping=window),
            dg.AssetDep(key_of(pipeline, "labels"), partition_mapping=window),
        ],
        kinds={"polars", "deltalake"},
        check_specs=[no_leaks_spec(key_of(pipeline, "training_set"))],
    )
    def training_set(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        artifacts: dg.ResourceParam[Artifacts],
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        """Rows to fit and judge as of an instant: only labels known by then, train before validation before test."""
        as_of = context.partition_key
        try:
            window = collect_training_set(tables, pipeline, as_of)
            landed = tables.known(pipeline, "landed", window.as_of)
            check_lawful(pipeline, as_of, {key: landed[key].provenance for key in window.keys.all})
        except (HistoryTooShort, NoMatureLabels, PartitionBlocked, RuleBroken) as no:
            _refuse(context, tables, pipeline, str(no), clock)
            raise

        audited = audit_training_set(tables, pipeline, window)
        held_out = held_out_rows(tables, pipeline, window)

        outcome = Outcome(
            inputs=window.inputs, provenance=window.manifest, known_at=window.as_of, blocked=audited.reason
        )
        record = tables.save(pipeline, "training_set", window.table, {as_of: outcome}, at=clock.now())[as_of]
        if audited.reason is None:
            handover = Handover(tables=tables, artifacts=artifacts, pipeline=pipeline, as_of=as_of)
            handover.give("training_set", {name: to_parquet(frame) for name, frame in held_out.items()})
        else:
            _refuse(context, tables, pipeline, audited.reason, clock)

        yield dg.MaterializeResult(metadata=_describe_rows(window, record, unit=pipeline.objective.unit))
        yield leaks_check(audited)

    return training_set


def _refuse(context: dg.AssetExecutionContext, tables: Tables, pipeline: Pipeline, reason: str, clock: Clock) -> None:
    subject, details = f"as of {context.partition_key}", {"run_id": context.run.run_id}
    tables.operations.append_decision(pipeline.name, "refusal", subject, reason, details, at=clock.now())


def _describe_rows(window: Collected, record: PartitionRecord, *, unit: str) -> dict[str, Any]:
    mean = pl.col("label").mean().alias(f"mean label [{unit}]")
    counts = window.training_set.frame.group_by("split", maintain_order=True).agg(pl.len().alias("rows"), mean)
    spans = span(window.keys)
    return {
        **row_counts(record.rows),
        "as_of": instant(window.as_of),
        "splits": table({"split": row["split"], "partitions": spans[row["split"]], **row} for row in counts.to_dicts()),
        "labels not yet known": window.training_set.immature,
        "labels of too little confidence": window.training_set.unsure,
        "duplicates dropped": window.training_set.duplicates,
        "contradicted keys dropped": window.training_set.contradicted,
        "content_hash": record.content_hash,
        "table_version": record.table_version,
    }


def build_candidate(pipeline: Pipeline, candidate: Candidate) -> dg.AssetsDefinition:
    """Build the asset of one candidate of `pipeline`."""

    @as_of_asset(
        pipeline,
        candidate.name,
        stage="training",
        deps=[key_of(pipeline, "training_set")],
        kinds={"onnx", "mlflow"},
        description=f"{type(candidate).__name__} fitted on train, measured on validation, exported to ONNX.",
    )
    def trained(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        artifacts: dg.ResourceParam[Artifacts],
        tracking: dg.ResourceParam[Tracking],
        code: dg.ResourceParam[Code],
        home: dg.ResourceParam[Home],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        as_of, started_at = context.partition_key, clock.now()
        handover = Handover(tables=tables, artifacts=artifacts, pipeline=pipeline, as_of=as_of)
        golden = from_parquet(handover.take("training_set")["golden.parquet"])
        rows = tables.read(pipeline, "training_set", [as_of])

        trial = fit_candidate(pipeline, candidate, rows)
        # A baseline is judged beside the shipped model, so it learns from the same rows.
        final = fit_again(pipeline, candidate, rows, rounds=trial.fitted.rounds) if candidate.baseline else trial.fitted

        files = {
            "model.onnx": final.to_onnx(),
            "answers.parquet": to_parquet(pl.DataFrame({"prediction": answers(final, golden, pipeline)})),
            "trial.json": json.dumps({"metrics": trial.metrics, "rounds": trial.fitted.rounds}).encode(),
        }
        handover.give(candidate.name, files)
        step = Step(context=context, handover=handover, home=home, started_at=started_at, ended_at=clock.now())
        record = candidate_record(step, candidate, trial, code=code.version)
        recorded = tracking.record(record)

        shown = _describe(trial, recorded.url, record.artifacts, pipeline.objective)
        return dg.MaterializeResult(metadata=shown | _learns_from(trial.fitted, pipeline))

    return trained


def build_selected(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the selected asset of `pipeline`."""

    @as_of_asset(
        pipeline,
        "selected",
        stage="training",
        deps=[key_of(pipeline, candidate.name) for candidate in pipeline.candidates],
        kinds={"onnx"},
    )
    def selected(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], artifacts: dg.ResourceParam[Artifacts]
    ) -> dg.MaterializeResult[None]:
        """The candidate with the least validation error, fitted again on train and validation: this one ships."""
        as_of = context.partition_key
        handover = Handover(tables=tables, artifacts=artifacts, pipeline=pipeline, as_of=as_of)
        held_out = handover.take("training_set")
        rows = tables.read(pipeline, "training_set", [as_of])
        trials = {c.name: json.loads(handover.take(c.name)["trial.json"]) for c in pipeline.candidates}

        name = choose(pipeline, {candidate: trial["metrics"] for candidate, trial in trials.items()})
        candidate = next(candidate for candidate in pipeline.candidates if candidate.name == name)
        fitted = fit_again(pipeline, candidate, rows, rounds=trials[name]["rounds"])

        golden, sample = from_parquet(held_out["golden.parquet"]), from_parquet(held_out["sample.parquet"])
        files = {
            "model.onnx": fitted.to_onnx(),
            "golden.parquet": to_parquet(golden.with_columns(prediction=answers(fitted, golden, pipeline))),
            "reference.parquet": to_parquet(sample.with_columns(prediction=answers(fitted, sample, pipeline))),
            "choice.json": json.dumps(
                {"candidate": name, "rounds": trials[name]["rounds"], "metrics": trials[name]["metrics"]}
            ).encode(),
        }
        handover.give("selected", files)

        compared = [
            {"candidate": f"**{n}**" if n == name else n, **_in_units(t["metrics"], pipeline.objective)}
            for n, t in trials.items()
        ]
        return dg.MaterializeResult(
            metadata={"candidate": name, "candidates": table(compared), **_learns_from(fitted, pipeline)}
        )

    return selected


def _learns_from(fitted: Fitted, pipeline: Pipeline) -> dict[str, str]:
    """Which of the features a model reads, where it says so."""
    names = [feature.name for feature in fitted.used]
    of = len(pipeline.checked_features)
    return {"learns from": f"{len(names)} of {of} features: {', '.join(names)}"} if names else {}


def _in_units(metrics: Mapping[str, float], objective: Objective) -> dict[str, float | str]:
    """The errors of a trial, with their intervals, under names that a person reads: `validation mae [minutes]`."""
    shown: dict[str, float | str] = {}
    for name, value in metrics.items():
        split, _, measure = name.partition("_")
        low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
        if not measure.endswith(("_low", "_high")):
            bare = low is None or high is None
            words = f"{split} {objective.describe(measure)}"
            shown[words] = rounded(value) if bare else f"{value:.4g} ({low:.4g} to {high:.4g})"
    return shown


def _describe(trial: Trial, url: str | None, pictures: Mapping[str, bytes], objective: Objective) -> dict[str, Any]:
    return {
        **_in_units(trial.metrics, objective),
        "rounds": trial.fitted.rounds or 0,
        "mlflow": dg.MetadataValue.url(url) if url else "MLflow is not reachable; the record follows later",
        **{name.removesuffix(".png"): picture(png, name) for name, png in pictures.items() if name.endswith(".png")},
    }
