"""Drift: whether accepted rows, and apart from them served requests, have moved from what the champion learned."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from assets.describe import rounded, table
from assets.range_run import RangeRun, range_asset
from perennial.bundle.bundle import Bundle
from perennial.declaration import Pipeline
from perennial.monitoring.drift import DriftReport, drift_kinds, drift_report, save_html
from perennial.settings import Home
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Outcome, Tables
from perennial.stores.models.bundles import BundleStore
from perennial.stores.production.inference_log import TABLE
from perennial.stores.production.served import Served
from perennial.stores.reports import keep_newest, report_address

CHECK = "no_column_has_drifted"
REPORTS = 30
"""HTML reports kept for each pipeline, the newest; each is about 4 MB."""
SCHEMA = {
    "partition": pl.String,
    "source": pl.String,
    "column": pl.String,
    "method": pl.String,
    "effect": pl.Float64,
    "drifted": pl.Boolean,
    "rows": pl.Int64,
}


def build_drift(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the drift asset of `pipeline`."""

    @range_asset(
        pipeline,
        "drift",
        stage="monitoring",
        deps=[TABLE, "accepted"],
        description="Effect size of each watched column against the champion's reference, by Evidently.",
        check=CHECK,
        check_description="No watched column lies beyond the drift threshold of the champion's bundle.",
        blocking=False,
        calendar=pipeline.monitoring_time,
        kinds=frozenset({"evidently", "deltalake"}),
    )
    def drift(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        bundles: dg.ResourceParam[BundleStore],
        home: dg.ResourceParam[Home],
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "drift", check=CHECK)
        champion = tables.operations.champion(pipeline.name)
        served = Served(tables=tables, pipeline=pipeline)
        folder = home.reports / pipeline.name / "drift"
        for key in run.keys:
            if champion is None:
                unjudged = "not applicable: no version serves, so there is no reference"
                run.warn_unless(key, True, {"verdict": unjudged}, found=unjudged)
                continue
            bundle = bundles.get(champion.bundle_sha256)
            rows = {"accepted rows": served.accepted(key), "served requests": served.answered([key])}

            reports = {name: _compare(bundle, frame, pipeline) for name, frame in rows.items() if frame is not None}

            drifted = _any(report.drifted for report in reports.values())
            outcome = Outcome(
                inputs=served.inputs(key) | {"bundle": bundle.sha256},
                provenance={"drifted": drifted, "version": champion.number},
            )
            tables.save(pipeline, "drift", _frame(key, reports), {key: outcome}, at=clock.now())

            pages = _pages(folder / key, bundle, rows, reports, pipeline)
            links = {name: dg.MetadataValue.url(report_address(home, page)) for name, page in pages.items()}
            described = _describe(reports, champion.number, drifted)
            run.warn_unless(key, not drifted, described | links, found=described["reasons"])
        keep_newest(folder, REPORTS)
        yield from run.finish()

    return drift


def _compare(bundle: Bundle, rows: pl.DataFrame, pipeline: Pipeline) -> DriftReport:
    thresholds = bundle.thresholds
    return drift_report(
        bundle.reference,
        rows,
        drift_kinds(pipeline.schema, thresholds.drift_columns),
        threshold=thresholds.drift_threshold,
        min_rows=thresholds.min_rows,
        seed=pipeline.seed,
    )


def _any(verdicts: Iterator[bool | None]) -> bool | None:
    """True when one says so, None when none applies."""
    known = [verdict for verdict in verdicts if verdict is not None]
    return any(known) if known else None


def _frame(key: str, reports: dict[str, DriftReport]) -> pl.DataFrame:
    rows = [
        {
            "partition": key,
            "source": name,
            "column": column.column,
            "method": column.method,
            "effect": column.effect,
            "drifted": column.drifted,
            "rows": report.rows,
        }
        for name, report in reports.items()
        for column in report.columns
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def _pages(
    folder: Path,
    bundle: Bundle,
    rows: dict[str, pl.DataFrame | None],
    reports: dict[str, DriftReport],
    pipeline: Pipeline,
) -> dict[str, Path]:
    """Evidently's own page for each comparison that drifted."""
    kinds = drift_kinds(pipeline.schema, bundle.thresholds.drift_columns)
    pages: dict[str, Path] = {}
    for name, report in reports.items():
        frame = rows[name]
        if report.drifted and frame is not None:
            path = folder / f"{name.replace(' ', '_')}.html"
            pages[f"report on {name}"] = save_html(
                bundle.reference, frame, kinds, threshold=bundle.thresholds.drift_threshold, path=path
            )
    return pages


def _describe(reports: dict[str, DriftReport], version: int, drifted: bool | None) -> dict[str, Any]:
    columns = [
        {"rows of": name, "column": c.column, "method": c.method, "effect": c.effect, "drifted": c.drifted}
        for name, report in reports.items()
        for c in sorted(report.columns, key=lambda c: -c.effect)
    ]
    largest = max((c.effect for report in reports.values() for c in report.columns), default=0.0)
    return {
        "verdict": {True: "drifted", False: "no drift", None: "not applicable"}[drifted],
        "champion": version,
        "largest effect": rounded(largest),
        "columns": table(columns),
        "reasons": "; ".join(f"{name}: {report.reason}" for name, report in reports.items()),
    }
