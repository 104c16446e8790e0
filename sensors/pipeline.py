"""Pipeline: all that starts runs for one pipeline, and what watches over every run of the code location."""

from collections.abc import Sequence

import dagster as dg

from perennial.declaration import Pipeline
from sensors.alerts import build_failed_runs, build_mended_runs
from sensors.arrivals import build_arrivals
from sensors.automation import Automation
from sensors.checks import build_failed_checks
from sensors.lateness import build_lateness
from sensors.lineage import build_lineage
from sensors.monitoring import build_monitoring
from sensors.retraining import build_retraining, build_schedule
from sensors.tracking import build_catch_up


def build_automation(pipeline: Pipeline) -> Automation:
    """What starts runs for `pipeline`."""
    schedule = build_schedule(pipeline)
    return Automation(
        schedules=[schedule] if schedule else [],
        sensors=[
            build_arrivals(pipeline),
            build_monitoring(pipeline),
            build_retraining(pipeline),
            build_lineage(pipeline),
            build_lateness(pipeline),
        ],
    )


def build_shared(pipelines: Sequence[Pipeline]) -> Sequence[dg.SensorDefinition]:
    """What watches over the runs of every pipeline."""
    return [build_failed_runs(pipelines), build_mended_runs(pipelines), build_failed_checks(), build_catch_up()]
