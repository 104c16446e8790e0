"""Summary: each accepted partition in numbers, and whether it resembles its history of like partitions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import polars as pl

from assets.describe import picture, row_counts, table
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.graph.records import PartitionRecord
from perennial.stores.clock import Clock
from perennial.stores.lake.large import accepted_columns
from perennial.stores.lake.summaries import TABLE, acknowledged, history_before, provenance_of
from perennial.stores.lake.tables import Tables, derived, revisions_of
from perennial.validation.seasons.judgement import Culprit, Judgement, judge_in_order
from perennial.validation.seasons.panel import Panel, panel_of
from perennial.validation.seasons.pictures import season_picture
from perennial.validation.seasons.summaries import SUMMARY_SCHEMA, summarize_partitions, watched_columns

CHECK = "resembles_its_history"
SEVERITIES = {"block": dg.AssetCheckSeverity.ERROR}
"""Of a verdict's check; of others it is a warning."""
PICTURES = 3
"""Of a range the last partitions that pass have a picture; those that do not have one each, up to so many."""
MOST = 24


def build_summary(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the summary asset of `pipeline`."""

    @range_asset(
        pipeline,
        TABLE,
        stage="validation",
        deps=["accepted"],
        description="Each accepted partition in numbers, held against the like partitions before it.",
        check=CHECK,
        check_description="No statistic lies outside what the history of like partitions leads to expect.",
        blocking=False,
        kinds=frozenset({"polars", "deltalake", "matplotlib"}),
    )
    def summary(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, TABLE, check=CHECK)
        past = Past(tables, pipeline, run.keys[0])
        quarantined = tables.history(pipeline, "quarantined")
        drawn = set(run.keys[-PICTURES:])
        for accepted, keys in run.work(tables, "accepted"):
            rows = accepted_columns(tables, pipeline, accepted, keys)
            lost = {key: _lost(quarantined.get(key, {}), accepted[key]) for key in keys}

            summaries = summarize_partitions(rows, pipeline, quarantined=lost)
            panel, verdicts = past.judge(summaries, keys, accepted)

            rows_of = {key: accepted[key].content_hash for key in keys}
            outcomes = {
                key: replace(
                    derived(pipeline, TABLE, accepted[key]),
                    provenance=provenance_of(verdicts[key], past.hashes | rows_of),
                )
                for key in keys
            }
            records = tables.save(pipeline, TABLE, summaries, outcomes, at=clock.now())
            if not run.is_past:  # what follows is held against the newest of its neighbours
                past.add(summaries, records)

            for key in keys:
                _report(run, verdicts[key], panel, accepted[key], drawn)
        yield from run.finish()

    return summary


class Past:
    """The summaries that a range is judged by: those before it, read once, and those that it has made."""

    def __init__(self, tables: Tables, pipeline: Pipeline, first: str) -> None:
        self.pipeline = pipeline
        self.acknowledged = acknowledged(tables, pipeline)
        records = history_before(tables, pipeline, first)
        self.hashes = {key: record.inputs["accepted"] for key, record in records.items()}
        """Of the accepted rows of each partition that is fit to be history, or is judged with it."""
        read = tables.read(pipeline, TABLE, revisions_of(records, records)) if records else SUMMARY_SCHEMA.to_frame()
        self.summaries = read.select(SUMMARY_SCHEMA.names())

    def judge(
        self, summaries: pl.DataFrame, keys: Sequence[str], accepted: Mapping[str, PartitionRecord]
    ) -> tuple[Panel, dict[str, Judgement]]:
        """The verdict on each of `keys`, and the matrix that it rests on."""
        before = self.summaries.filter(~pl.col("partition").is_in(list(keys)))
        panel = panel_of(pl.concat([before, summaries]))
        verdicts = judge_in_order(
            panel,
            keys,
            [key for key in self.hashes if key not in keys],
            columns=watched_columns(self.pipeline),
            calendar=self.pipeline.time,
            seasons=self.pipeline.seasons,
            acknowledged=frozenset(k for k in keys if (k, accepted[k].content_hash) in self.acknowledged),
        )
        return panel, verdicts

    def add(self, summaries: pl.DataFrame, records: Mapping[str, PartitionRecord]) -> None:
        """Let those that are fit be history for the next batch."""
        fit = {
            key: record.inputs["accepted"]
            for key, record in records.items()
            if record.provenance["verdict"] != "block" or (key, record.inputs["accepted"]) in self.acknowledged
        }
        kept = pl.col("partition").is_in(list(fit))
        self.summaries = pl.concat([self.summaries.filter(~kept), summaries.filter(kept)])
        self.hashes |= fit


def _lost(quarantined: Mapping[int, PartitionRecord], accepted: PartitionRecord) -> int:
    """How many landed rows of the same revision were not accepted."""
    record = quarantined.get(accepted.revision)
    return record.rows if record else 0


def _report(run: RangeRun, judgement: Judgement, panel: Panel, accepted: PartitionRecord, drawn: set[str]) -> None:
    key = judgement.partition
    shown: dict[str, Any] = {
        **row_counts(accepted.rows),
        "verdict": judgement.verdict,
        "why": judgement.reason,
        "culprits": table(map(_row, judgement.culprits)),
        "held against": f"{len(judgement.history)} partitions"
        + (f", {judgement.history[0]} to {judgement.history[-1]}" if judgement.history else ""),
    }
    if key in drawn or (judgement.culprits and len(drawn) < MOST):
        drawn.add(key)
        shown["picture"] = picture(season_picture(panel, judgement, run.pipeline), f"{key} against its history")
    evidence = {name: shown[name] for name in ("verdict", "culprits", "held against")}
    if judgement.verdict == "block" and "picture" in shown:
        evidence["picture"] = shown["picture"]  # a person looks at the check first
    passed, severity = judgement.verdict == "pass", SEVERITIES.get(judgement.verdict, dg.AssetCheckSeverity.WARN)
    run.warn_unless(key, passed, shown, found=judgement.reason, evidence=evidence, severity=severity)


def _row(culprit: Culprit) -> dict[str, Any]:
    return {
        "verdict": culprit.level,
        "family": culprit.family,
        "column": culprit.column or "(partition)",
        "statistic": culprit.statistic,
        "found": culprit.found,
        "expected from": culprit.low,
        "to": culprit.high,
        "effect": f"{culprit.effect:+.3g} {culprit.effect_unit}",
    }
