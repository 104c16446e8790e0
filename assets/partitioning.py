"""Partitioning: a pipeline's calendar in Dagster's terms."""

import dagster as dg

from perennial.declaration import Pipeline
from perennial.time import Calendar, Daily, Hourly, Monthly


def partitions_of(calendar: Calendar) -> dg.TimeWindowPartitionsDefinition:
    """The Dagster partitions that have the keys of `calendar`."""
    kind = {
        Hourly: dg.HourlyPartitionsDefinition,
        Daily: dg.DailyPartitionsDefinition,
        Monthly: dg.MonthlyPartitionsDefinition,
    }[type(calendar)]
    end = calendar.window(calendar.end).end.astimezone(calendar.zone) if calendar.end else None
    return kind(
        start_date=calendar.start,
        end_date=end.strftime(calendar.key_format) if end else None,
        timezone=str(calendar.zone),
        fmt=calendar.key_format,
    )


def window_mapping(pipeline: Pipeline) -> dg.TimeWindowPartitionMapping:
    """An as-of partition depends on every partition of its training window."""
    return dg.TimeWindowPartitionMapping(
        start_offset=1 - pipeline.windows.length, end_offset=0, allow_nonexistent_upstream_partitions=True
    )
