"""Partitioning: Dagster shows each partition beside those that it is made from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from assets.partitioning import partitions_of, rolling_mapping
from perennial import Daily, Hourly, Monthly, Rolling
from perennial.featurization.states import window_keys
from perennial.time import Calendar
from tests.perennial.featurization.timelines import RIDES

BERLIN = "Europe/Berlin"
CALENDARS = {
    "hours": Hourly(event_time="began_at", start="2024-03-01T00", end="2024-11-30T00", timezone=BERLIN),
    "days": Daily(event_time="began_at", start="2024-01-01", end="2024-12-31", timezone=BERLIN),
    "months": Monthly(event_time="began_at", start="2022-01", end="2024-12", timezone=BERLIN),
}
SOME = {"hours": 97, "days": 1, "months": 1}
"""Of so many partitions one is asked."""
MORE = {"hours": 26, "days": 3, "months": 2}
"""Partitions that stand beside it, yet count in none of its windows."""


@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=5), timedelta(days=40)])
@pytest.mark.parametrize("days", [1, 28, 90])
@pytest.mark.parametrize("kind", [*CALENDARS])
def test_aggregates_stand_beside_all_partials_of_their_windows_and_few_others(
    kind: str, days: int, late: timedelta
) -> None:
    calendar: Calendar = replace(CALENDARS[kind], known_after=late)
    pipeline = replace(RIDES, time=calendar, aggregates=[Rolling(by="zone", how="count", days=days)])
    partitions, mapping = partitions_of(calendar), rolling_mapping(pipeline)

    for key in calendar.keys(calendar.start, str(calendar.end))[:: SOME[kind]]:
        found = mapping.get_upstream_mapped_partitions_result_for_partitions(
            partitions.subset_with_partition_keys([key]),
            partitions,
            partitions,
            current_time=datetime(2026, 1, 1, tzinfo=UTC),
        )
        beside, within = {*found.partitions_subset.get_partition_keys()}, {*window_keys(pipeline, key)}
        assert beside >= within
        assert len(beside - within) <= MORE[kind] + len(within) / 10
