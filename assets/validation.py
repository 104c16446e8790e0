"""Validation: which landed rows are accepted, which are quarantined and why, and how the accepted look."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.describe import picture, row_counts, table
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.lineage import inputs_of
from perennial.profiling import histogram_picture, profile_partitions
from perennial.stores.clock import Clock
from perennial.stores.operations import PartitionRecord
from perennial.stores.tables import Outcome, Tables
from perennial.validation import PartitionVerdict, judge_partitions, split_rows

CHECK = "expectations_hold"
PICTURES = 12
"""Histograms are drawn for the last partitions of a range; the numbers are there for all."""


def build_accepted(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the accepted and quarantined assets of `pipeline`, which one pass over the rows divides."""

    @range_asset(
        pipeline,
        "accepted",
        "quarantined",
        stage="validation",
        deps=["landed"],
        description="Landed rows divided by the row expectations: landed = accepted + quarantined, always.",
        check=CHECK,
        check_description="The partition's expectations hold, evaluated by Great Expectations.",
        kinds=frozenset({"polars", "deltalake", "greatexpectations"}),
    )
    def accepted(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "accepted", "quarantined", check=CHECK)
        landed = run.upstream(tables, "landed")
        for keys in run.batches({key: record.rows for key, record in landed.items()}):
            rows = tables.read(pipeline, "landed", keys)

            split = split_rows(rows, pipeline.expectations, pipeline.time)
            verdicts = judge_partitions(split, pipeline.expectations, partitions=keys)

            outcomes = {key: _outcome(pipeline, landed[key], verdicts[key]) for key in keys}
            tables.save(pipeline, "quarantined", split.quarantined, outcomes, at=clock.now())
            records = tables.save(pipeline, "accepted", split.accepted, outcomes, at=clock.now())

            for key in keys:
                _report(run, verdicts[key], records[key])
        yield from run.finish()

    return accepted


def build_profile(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the profile asset of `pipeline`."""

    @range_asset(
        pipeline,
        "profile",
        stage="validation",
        deps=["accepted"],
        description="What each accepted partition looks like: counts, ranges, histograms.",
        kinds=frozenset({"polars", "deltalake", "matplotlib"}),
    )
    def profile(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "profile")
        accepted = run.upstream(tables, "accepted")
        drawn = run.keys[-PICTURES:]
        for keys in run.batches({key: record.rows for key, record in accepted.items()}):
            rows = tables.read(pipeline, "accepted", keys, pipeline.schema.names)

            profiles = profile_partitions(rows, pipeline.schema)

            outcomes = {key: Outcome(inputs=inputs_of(pipeline, "profile", accepted[key].content_hash)) for key in keys}
            tables.save(pipeline, "profile", profiles, outcomes, at=clock.now())

            parts = profiles.partition_by("partition", as_dict=True)
            for key in keys:
                part = parts[(key,)]
                shown = {"profile": table(part.select(SHOWN).to_dicts())}
                if key in drawn:
                    shown["histograms"] = picture(histogram_picture(part), f"histograms of {key}")
                run.written(key, row_counts(accepted[key].rows) | shown)
        yield from run.finish()

    return profile


SHOWN = ["column", "kind", "unit", "count", "nulls", "distinct", "min", "p50", "mean", "max"]


def _outcome(pipeline: Pipeline, landed: PartitionRecord, verdict: PartitionVerdict) -> Outcome:
    return Outcome(
        inputs=inputs_of(pipeline, "accepted", landed.content_hash),
        known_at=landed.known_at,
        blocked=verdict.reason if verdict.blocked else None,
    )


def _report(run: RangeRun, verdict: PartitionVerdict, record: PartitionRecord) -> None:
    counts = {"landed": verdict.landed, "accepted": verdict.accepted, "quarantined": verdict.quarantined}
    evidence = {**counts, "expectations": _expectations(verdict)}
    if verdict.blocked:
        run.block(verdict.partition, str(verdict.reason), evidence)
        return
    common = {"revision": record.revision, "table_version": record.table_version}
    run.written(
        verdict.partition,
        {**row_counts(verdict.accepted), **counts, **common, "content_hash": record.content_hash},
        evidence,
    )
    run.materialized(
        verdict.partition, {**row_counts(verdict.quarantined), "reasons": _reasons(verdict)}, "quarantined"
    )


def _expectations(verdict: PartitionVerdict) -> dg.MarkdownMetadataValue:
    return table(
        {
            "holds": "yes" if result.success else "**no**" if result.expectation.severity == "block" else "no (warn)",
            "expectation": result.expectation.claim,
            "level": result.level,
            "observed": result.observed,
            "failing rows": result.unexpected,
            "share": f"{result.share:.2%}",
        }
        for result in sorted(verdict.results, key=lambda result: result.success)
    )


def _reasons(verdict: PartitionVerdict) -> dg.MarkdownMetadataValue:
    failed = [result for result in verdict.results if result.level == "row" and result.unexpected]
    return table(_example(result.expectation.claim, result.unexpected, result.examples) for result in failed)


def _example(claim: str, rows: int, examples: Any) -> dict[str, Any]:
    return {"reason": claim, "rows": rows, "for example": "; ".join(str(dict(example)) for example in examples[:2])}
