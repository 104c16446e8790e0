"""Validation: which landed rows are accepted, which are quarantined and why, and how the accepted look."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from assets.describe import picture, row_counts, table
from assets.range_run import RangeRun, range_asset
from assets.telling import tell
from perennial.declaration import Pipeline
from perennial.graph.records import PartitionRecord
from perennial.settings import Home
from perennial.stores.clock import Clock
from perennial.stores.lake.large import Large, accepted_columns, is_large
from perennial.stores.lake.tables import Tables, derived, revisions_of
from perennial.stores.reports import keep_newest, report_address
from perennial.validation.data_docs import data_docs
from perennial.validation.profiling import histogram_picture, profile_partitions, summary_row
from perennial.validation.telling import failing_rows
from perennial.validation.verdicts import ExpectationResult, PartitionVerdict, Split, judge_partitions, split_rows

CHECK = "expectations_hold"
PICTURES = 12
"""Histograms are drawn for the last partitions of a range; the numbers are there for all."""
MANY = 0.01
"""Share of quarantined rows from which a partition that goes on has such a page, too."""
PAGES = 30
"""Pages of Great Expectations kept for each pipeline: of the newest blocked partitions, and of some others."""


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
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        home: dg.ResourceParam[Home],
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "accepted", "quarantined", check=CHECK)
        for landed, keys in run.work(tables, "landed"):
            if is_large(landed, keys):
                verdict, record = Large(tables=tables, pipeline=pipeline).split(landed[keys[0]], at=clock.now())
                tell(run, tables, [verdict])
                _report(run, verdict, record, {})
                continue
            rows = tables.read(pipeline, "landed", revisions_of(landed, keys))

            split = split_rows(rows, pipeline.judged, pipeline.time)
            verdicts = judge_partitions(split, pipeline.judged, partitions=keys)

            outcomes = {key: derived(pipeline, "accepted", landed[key], blocked=verdicts[key].reason) for key in keys}
            tables.save(pipeline, "quarantined", split.quarantined, outcomes, at=clock.now())
            records = tables.save(pipeline, "accepted", split.accepted, outcomes, at=clock.now())

            pages = {} if run.is_past else _pages(home, pipeline, split, _worth_a_page(verdicts, run.keys[-1]))
            tell(run, tables, [verdicts[key] for key in keys])
            for key in keys:
                _report(run, verdicts[key], records[key], pages.get(key, {}))
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
        drawn = run.keys[-PICTURES:]
        for accepted, keys in run.work(tables, "accepted"):
            rows = accepted_columns(tables, pipeline, accepted, keys)

            profiles = profile_partitions(rows, pipeline.schema)

            outcomes = {key: derived(pipeline, "profile", accepted[key]) for key in keys}
            tables.save(pipeline, "profile", profiles, outcomes, at=clock.now())

            parts = profiles.partition_by("partition", as_dict=True)
            for key in keys:
                part = parts[(key,)]
                shown = {"profile": table(map(summary_row, part.iter_rows(named=True)))}
                if key in drawn:
                    shown["histograms"] = picture(histogram_picture(part), f"histograms of {key}")
                run.written(key, row_counts(accepted[key].rows) | shown)
        yield from run.finish()

    return profile


def _worth_a_page(verdicts: Mapping[str, PartitionVerdict], last: str) -> list[str]:
    """The blocked partitions of a batch, and the `last` of the run where it quarantined enough rows to be looked at."""
    newest = verdicts.get(last)
    worth = newest is not None and not newest.blocked and newest.quarantined >= MANY * newest.landed
    return [*([last] if worth else []), *[key for key in verdicts if verdicts[key].blocked][-PAGES:]]


def _pages(home: Home, pipeline: Pipeline, split: Split, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A link to Great Expectations' own page about each of `keys`."""
    folder = home.reports / pipeline.name / "expectations"
    pages = {
        key: data_docs(split, key, pipeline.judged, pipeline.time, schema=pipeline.schema, folder=folder / key)
        for key in keys
    }
    keep_newest(folder, PAGES)
    return {
        key: {"data docs": dg.MetadataValue.url(report_address(home, page))}
        for key, page in pages.items()
        if page.is_file()
    }


def _report(run: RangeRun, verdict: PartitionVerdict, record: PartitionRecord, page: Mapping[str, Any]) -> None:
    counts = {"landed": verdict.landed, "accepted": verdict.accepted, "quarantined": verdict.quarantined}
    failing = {"failing rows": table(failing_rows(verdict, run.pipeline.schema))}
    evidence = {**counts, "expectations": _expectations(verdict), **failing, **page}
    if verdict.blocked:
        run.block(verdict.partition, str(verdict.reason), evidence)
        return
    common = {"revision": record.revision, "table_version": record.table_version}
    run.written(
        verdict.partition,
        {**row_counts(verdict.accepted), **counts, **common, "content_hash": record.content_hash},
        evidence,
        found=f"{verdict.accepted:,} of {verdict.landed:,} rows accepted",
    )
    run.materialized(
        verdict.partition,
        {**row_counts(verdict.quarantined), **failing, **page},
        "quarantined",
    )


def _expectations(verdict: PartitionVerdict) -> dg.MarkdownMetadataValue:
    """What each expectation found: those that block first, those that hold last."""
    return table(
        {
            "verdict": WORDS[_rank(result)],
            "expectation": result.expectation.claim,
            "judges": "each row" if result.level == "row" else "the partition",
            "found": _found(result),
            "failing rows": result.unexpected or None,
            "share": f"{100 * result.share:.2f} %" if result.unexpected else None,
        }
        for result in sorted(verdict.results, key=_rank)
    )


def _found(result: ExpectationResult) -> str | float | None:
    """What was measured of the partition; rows that fail are counted in a column of their own."""
    if result.level == "row" or result.observed is None:
        return None
    return f"{100 * result.observed:.3g} %" if result.expectation.is_share else result.observed


WORDS = ("**blocks**", "rows quarantined", "warns", "holds")


def _rank(result: ExpectationResult) -> int:
    """Position in WORDS of what became of an expectation."""
    if result.success:
        return 3
    if result.expectation.severity == "warn":
        return 2
    return 1 if result.level == "row" else 0
