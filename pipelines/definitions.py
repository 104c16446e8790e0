"""Definitions: every discovered pipeline as a graph of assets, with its schedules and sensors.

This is the Dagster code location. Adding a pipeline adds one module beside this one, nothing else.
"""

import dagster as dg

from assets.pipeline import build_assets, build_broken
from pipelines.discovery import Discovered, discover
from resources.ending import end_at_once
from resources.stores import resources
from sensors.maintenance import build_maintenance
from sensors.pipeline import build_automation, build_shared


def build_definitions(discovered: Discovered) -> dg.Definitions:
    """The code location of `discovered`, with every store as a resource."""
    automation = [build_automation(pipeline) for pipeline in discovered.pipelines]
    return dg.Definitions(
        assets=[
            *(asset for pipeline in discovered.pipelines for asset in build_assets(pipeline)),
            *(build_broken(module.name, module.error, module.trace) for module in discovered.broken),
        ],
        jobs=[job for each in automation for job in each.jobs],
        schedules=[*(schedule for each in automation for schedule in each.schedules), build_maintenance()],
        sensors=[*(sensor for each in automation for sensor in each.sensors), *build_shared(discovered.pipelines)],
        resources=resources(),
        executor=dg.in_process_executor,
    )


end_at_once()
discovered = discover()
defs = build_definitions(discovered)
