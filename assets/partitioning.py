"""Partitioning: a pipeline's calendar in Dagster's terms."""

import math
import warnings
from datetime import timedelta

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


def rolling_mapping(pipeline: Pipeline) -> dg.TimeWindowPartitionMapping:
    """The aggregates of a partition's end depend on the partials of the longest window, which ends with its own."""
    days = max(aggregate.days for aggregate in pipeline.checked_aggregates)
    # A window begins at midnight, up to a day earlier; and a day in autumn is an hour longer.
    reach = timedelta(days=days + 1, hours=1) + pipeline.time.known_after
    return _behind(math.ceil(reach / _shortest(pipeline)) - 1, last=0)


def known_aggregates(pipeline: Pipeline) -> list[dg.AssetDep]:
    """A row sees the aggregates of an end before its own: how long before, `known_after` says."""
    if not pipeline.aggregates:
        return []
    mapping = _behind(1 + math.ceil(pipeline.time.known_after / _shortest(pipeline)), last=-1)
    return [dg.AssetDep([pipeline.name, "aggregates"], partition_mapping=mapping)]


def _shortest(pipeline: Pipeline) -> timedelta:
    """How long a partition is at least, whatever the calendar does in spring."""
    return {Hourly: timedelta(hours=1), Daily: timedelta(hours=23), Monthly: timedelta(days=27)}[type(pipeline.time)]


def _behind(count: int, *, last: int) -> dg.TimeWindowPartitionMapping:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        return dg.TimeWindowPartitionMapping(
            start_offset=-count, end_offset=last, allow_nonexistent_upstream_partitions=True
        )


def any_partition(pipeline: Pipeline, name: str) -> dg.AssetDep:
    """Dependency on asset `name` as a whole: the champion of the moment may come from any as-of."""
    return dg.AssetDep([pipeline.name, name], partition_mapping=dg.AllPartitionMapping())
