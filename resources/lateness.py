"""Lateness: whether partitions arrive as they usually do, as a check of `landed`.

The step that lands evaluates it; between runs the sensor `{pipeline}_lateness` does.
"""

from datetime import datetime

import dagster as dg

from perennial.declaration import Pipeline
from perennial.ingestion.lateness import CHECK, arrivals_of, arrived_after, problems
from perennial.stores.lake.tables import Tables


def lateness_check(pipeline: Pipeline) -> dg.AssetCheckSpec:
    """The check of `landed` of `pipeline`."""
    return dg.AssetCheckSpec(
        CHECK,
        asset=[pipeline.name, "landed"],
        description="No partition is overdue, and the newest arrived as long after its end as like ones do.",
    )


def evaluate_lateness(pipeline: Pipeline, tables: Tables, *, now: datetime) -> dg.AssetCheckEvaluation:
    """What the check finds at `now`."""
    arrivals = arrivals_of(pipeline, tables.records(pipeline, "landed"))
    found = [f"{key} {why}" for key, why in problems(arrivals, now).items()]
    newest = max(arrivals.at, default=None)
    well = f"{newest} arrived {arrived_after(arrivals, newest)}" if newest else "nothing has arrived yet"
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey([pipeline.name, "landed"]),
        check_name=CHECK,
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(found) or well,
        metadata={"not in time": dg.MetadataValue.json(found)},
    )
