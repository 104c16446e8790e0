"""Partitioning: a pipeline's calendar in Dagster's terms."""

import warnings

import dagster as dg

from perennial.declaration import Pipeline
from perennial.labels.maturity import lag
from perennial.time import Calendar, Daily, Hourly, Monthly


def partitions_of(calendar: Calendar) -> dg.TimeWindowPartitionsDefinition:
    """The Dagster partitions that have the keys of `calendar`."""
    kind = {
        Hourly: dg.HourlyPartitionsDefinition,
        Daily: dg.DailyPartitionsDefinition,
        Monthly: dg.MonthlyPartitionsDefinition,
    }[type(calendar)]
    end = calendar.window(calendar.end).end.astimezone(calendar.zone) if calendar.end else None
    partitions: dg.TimeWindowPartitionsDefinition = kind(
        start_date=calendar.start,
        end_date=end.strftime(calendar.key_format) if end else None,
        timezone=str(calendar.zone),
        fmt=calendar.key_format,
    )
    return partitions


def window_mapping(pipeline: Pipeline) -> dg.TimeWindowPartitionMapping:
    """An as-of partition depends on every partition that its training window may hold."""
    longest = pipeline.windows.length + lag(pipeline)
    with warnings.catch_warnings():
        # The last argument is in beta in Dagster 1.13; without it the first as-ofs of a calendar have no mapping.
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        return dg.TimeWindowPartitionMapping(
            start_offset=1 - longest, end_offset=0, allow_nonexistent_upstream_partitions=True
        )


def any_partition(pipeline: Pipeline, name: str) -> dg.AssetDep:
    """Dependency on asset `name` as a whole: the champion of the moment may come from any as-of."""
    return dg.AssetDep([pipeline.name, name], partition_mapping=dg.AllPartitionMapping())
