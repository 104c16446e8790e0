"""Summary: each accepted partition in numbers, and whether it resembles its history of like partitions."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from assets.describe import picture, row_counts, table
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.graph.records import PartitionRecord
from perennial.stores.clock import Clock
from perennial.stores.lake.acknowledgements import way_out
from perennial.stores.lake.judging import Judging, Verdict
from perennial.stores.lake.large import accepted_columns
from perennial.stores.lake.summaries import TABLE, is_summarized, unjudged
from perennial.stores.lake.tables import Tables
from perennial.validation.seasons.judgement import Culprit
from perennial.validation.seasons.pictures import season_picture
from perennial.validation.seasons.summaries import summarize_partitions

CHECK = "resembles_its_history"
SEVERITIES = {"block": dg.AssetCheckSeverity.ERROR}
"""Of a verdict's check; of others it is a warning."""
PICTURES = 3
"""Of a range the last partitions that pass have a picture; those that do not have one each, up to so many."""
MOST = 24
EVIDENCE = ("verdict", "what to do", "acknowledged by", "culprits", "held against", "picture")
"""What the check shows of it."""
MEANS = {"block": "no training reads it: ", "retrain": "it asks for a new model: "}


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
        standing, quarantined = tables.standing(pipeline), tables.history(pipeline, "quarantined")
        for accepted, batch in run.work(tables, "accepted"):
            keys = [key for key in batch if not is_summarized(standing, accepted[key], again=not run.is_past)]
            if not keys:
                continue
            rows = accepted_columns(tables, pipeline, accepted, keys)
            lost = {key: _lost(quarantined.get(key, {}), accepted[key]) for key in keys}

            summaries = summarize_partitions(rows, pipeline, quarantined=lost)

            outcomes = {key: unjudged(standing, accepted[key]) for key in keys}
            tables.save(pipeline, TABLE, summaries, outcomes, at=clock.now())

        judging = Judging(tables, pipeline, asked=set(run.keys) - set(run.blocked))
        drawn = set(run.keys[-PICTURES:])
        for keys in run.batches(dict.fromkeys(judging.keys, 1)):
            for verdict in judging.judge(keys, at=clock.now()):
                _report(run, verdict, drawn)
        yield from run.finish()

    return summary


def _lost(quarantined: Mapping[int, PartitionRecord], accepted: PartitionRecord) -> int:
    """How many landed rows of the same revision were not accepted."""
    record = quarantined.get(accepted.revision)
    return record.rows if record else 0


def _report(run: RangeRun, verdict: Verdict, drawn: set[str]) -> None:
    """Show a verdict that the run was asked for, or that is another than stood."""
    judgement, key = verdict.judgement, verdict.judgement.partition
    if key not in run.keys and not verdict.is_news:
        return
    shown: dict[str, Any] = {
        **row_counts(verdict.rows),
        "verdict": judgement.verdict,
        "why": judgement.reason,
        **_answer(run, verdict),
        "culprits": table(map(_row, judgement.culprits)),
        "held against": f"{len(judgement.history)} partitions"
        + (f", {judgement.history[0]} to {judgement.history[-1]}" if judgement.history else ""),
    }
    if key in verdict.panel.row and (key in drawn or (judgement.culprits and len(drawn) < MOST)):
        drawn.add(key)
        shown["picture"] = picture(season_picture(verdict.panel, judgement, run.pipeline), f"{key} against its history")
    evidence = {name: shown[name] for name in EVIDENCE if name in shown}
    if judgement.verdict != "block":
        evidence.pop("picture", None)  # a person looks at the check first where something is blocked
    run.warn_unless(
        key,
        judgement.verdict == "pass" or verdict.acknowledged is not None,
        shown,
        found=_said(verdict),
        evidence=evidence,
        severity=SEVERITIES.get(judgement.verdict, dg.AssetCheckSeverity.WARN),
    )


def _said(verdict: Verdict) -> str:
    """The verdict in a line, what it means before why."""
    if verdict.acknowledged:
        return f"found right by {verdict.acknowledged}; {verdict.judgement.reason}"
    return MEANS.get(verdict.judgement.verdict, "") + verdict.judgement.reason


def _answer(run: RangeRun, verdict: Verdict) -> dict[str, str]:
    """What a person has said to a partition that is blocked, or can do about it."""
    if verdict.acknowledged:
        return {"acknowledged by": verdict.acknowledged}
    if verdict.judgement.verdict != "block":
        return {}
    return {"what to do": way_out(run.pipeline, verdict.judgement.partition)}


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
