"""Leakage: the auditor's report as the check of a training set."""

from collections.abc import Iterable

import dagster as dg

from assets.describe import table
from perennial.featurization.leakage import LeakageReport, Suspicion

NO_LEAKS = "no_feature_leaks"
NO_LEAKS_CLAIM = (
    "No feature knows more than was known when its row's prediction was made, and the audit catches its own canaries."
)


def no_leaks_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check of training set `asset`."""
    return dg.AssetCheckSpec(NO_LEAKS, asset=asset, blocking=True, description=NO_LEAKS_CLAIM)


def leaks_check(report: LeakageReport) -> dg.AssetCheckResult:
    """Whether anybody may learn from the audited features, with what each knows of the outcome."""
    return dg.AssetCheckResult(
        check_name=NO_LEAKS,
        passed=report.reason is None,
        description=report.reason or f"{len(report.features)} features audited on {report.rows:,} rows, none caught",
        metadata={
            "features": _table(report.features),
            "canaries (each must be caught)": _table(report.canaries),
            "rows": report.rows,
            "partitions delivered again": report.deliveries,
        },
    )


def _table(judged: Iterable[Suspicion]) -> dg.MarkdownMetadataValue:
    return table(
        {
            "name": each.name,
            "power alone": f"{each.power:.3f}",
            "power of missing": f"{each.missing:.3f}",
            "purest value": None if each.purity is None else f"{each.purity:.3f}",
            "not as first known": None if each.changed is None else f"{each.changed:.1%}",
            "caught": "; ".join(each.caught) or "no",
        }
        for each in sorted(judged, key=lambda each: (not each.caught, -each.power))
    )
