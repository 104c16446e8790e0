"""Ended: what a sensor of runs that have ended answers to one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg


def told_of(sensor: Any, instance: dg.DagsterInstance, run_id: str, resources: Mapping[str, object]) -> Any:
    """What `sensor` answers to the end of run `run_id`, a success or a failure.

    The contexts are closed here. One that lived on in a traceback would be closed when it is collected, and put
    back as Dagster's current storage that of an instance which is gone by then.
    """
    run = instance.get_run_by_id(run_id)
    assert run is not None
    ended = dg.DagsterEventType.RUN_SUCCESS if run.is_success else dg.DagsterEventType.RUN_FAILURE
    (entry,) = instance.all_logs(run_id, of_type=ended)
    assert entry.dagster_event is not None
    with dg.build_run_status_sensor_context(
        sensor_name=sensor.name,
        dagster_event=entry.dagster_event,
        dagster_instance=instance,
        dagster_run=run,
        resources=resources,
    ) as context:
        if run.is_success:
            return sensor(context)
        with context.for_run_failure() as failed:
            return sensor(failed)
