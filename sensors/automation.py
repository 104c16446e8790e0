"""Automation: what starts runs for one pipeline, and the parts that its sensors share."""

from collections.abc import Sequence
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
