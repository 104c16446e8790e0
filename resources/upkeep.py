"""Upkeep: one maintenance of a whole home, for the command and the daily job alike."""

from __future__ import annotations

from datetime import datetime

import dagster as dg

from perennial.errors import PerennialError
from perennial.maintenance import Keep, Report
from perennial.settings import Home
from perennial.stores.folders import locked
from perennial.stores.lake.cleaning import Cleaning
from perennial.stores.lake.maintenance import LakeCare
from perennial.stores.models.bundles import BundleStore
from resources.retention import forget_runs
from resources.stores import open_tables


def maintain_home(
    home: Home,
    instance: dg.DagsterInstance,
    *,
    now: datetime,
    only: str | None = None,
    keep: Keep = Keep(),  # noqa: B008 - a frozen value
    dry_run: bool = False,
) -> Report:
    """Care for the tables of every pipeline, or of one `only`; without `only` also for files and runs.

    One at a time: a second waits for the first. Raises PerennialError for a pipeline that has no tables.
    """
    tables = open_tables(home)
    care = LakeCare(tables=tables, bundles=BundleStore(home.bundles), keep=keep)
    known = care.pipelines()
    if only is not None and only not in known:
        expected = f"one of {', '.join(known)}" if known else "a pipeline whose data have landed"
        raise PerennialError("no such pipeline has tables", where="maintain", found=repr(only), expected=expected)
    with locked(home.root / "maintenance"):
        pipelines = known if only is None else [only]
        report = sum((care.maintain(pipeline, dry_run=dry_run) for pipeline in pipelines), Report())
        if only is None:
            report += Cleaning(home=home, operations=tables.operations, keep=keep).clean(now=now, dry_run=dry_run)
            report += forget_runs(instance, tables.operations, before=now - keep.runs, dry_run=dry_run)
    return report
