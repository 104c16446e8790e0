"""Automation: what starts runs for one pipeline, and the parts that its sensors share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from perennial.declaration import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Automation:
    """What starts runs for one pipeline."""

    jobs: Sequence[Any] = ()
    schedules: Sequence[dg.ScheduleDefinition] = ()
    sensors: Sequence[dg.SensorDefinition] = ()


def keys_of(pipeline: Pipeline, names: Sequence[str]) -> list[dg.AssetKey]:
    """The assets `names` of `pipeline`."""
    return [dg.AssetKey([pipeline.name, name]) for name in names]


def pipeline_sensor(
    pipeline: Pipeline, name: str, assets: Sequence[str], *, every: int, description: str
) -> Callable[[Callable[..., Any]], dg.SensorDefinition]:
    """Decorator: the sensor `name` of `pipeline` about its `assets`, on from the start; `every` is in seconds."""
    return dg.sensor(
        name=f"{pipeline.name}_{name}",
        target=dg.AssetSelection.assets(*keys_of(pipeline, assets)),
        minimum_interval_seconds=every,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
        tags={"pipeline": pipeline.name},
    )
