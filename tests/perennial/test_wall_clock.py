"""Wall clock: many times are put on another clock an hour at a time, to what each of them alone becomes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.wall_clock import FEW, _by_hour, instants, wall_times

CHANGES = {
    "Africa/Monrovia": datetime(1972, 1, 7),  # an offset of 44 minutes and a half ends
    "America/New_York": datetime(2023, 11, 5),
    "America/St_Johns": datetime(2006, 4, 2),  # at one minute past midnight
    "Antarctica/Troll": datetime(2024, 3, 31),  # by two hours
    "Australia/Lord_Howe": datetime(2024, 4, 7),  # by half an hour
    "Europe/Berlin": datetime(2024, 3, 31),
    "Pacific/Apia": datetime(2011, 12, 30),  # a day that was skipped
    "UTC": datetime(2024, 1, 1),
}
"""By timezone: a day on which its clocks change."""
CONVERSIONS = [instants, wall_times]
Conversion = Callable[[pl.Series, str], pl.Series]


@pytest.mark.parametrize("convert", CONVERSIONS)
@settings(deadline=None)
@given(
    timezone=st.sampled_from(sorted(CHANGES)),
    before=st.integers(0, 96),
    span=st.integers(1, 24 * 40),
    seed=st.integers(0, 2**32 - 1),
    null=st.booleans(),
)
def test_many_times_become_what_a_few_become(
    convert: Conversion, timezone: str, before: int, span: int, seed: int, null: bool
) -> None:
    times = spread(CHANGES[timezone] - timedelta(hours=before), span, 2 * FEW, seed=seed, null=null)
    times = times if convert is instants else times.dt.replace_time_zone("UTC")

    assert convert(times, timezone).equals(a_few_at_once(convert, times, timezone), check_dtypes=True, check_names=True)


def test_the_offset_of_an_hour_is_looked_up_once() -> None:
    asked: list[int] = []

    _by_hour(spread(datetime(2024, 3, 29), 48, 2 * FEW, seed=1), counted(asked))

    assert sum(asked) == 48 + 1


def test_one_time_of_another_century_does_not_let_all_hours_between_be_looked_up() -> None:
    times = spread(datetime(2024, 3, 30), 48, 2 * FEW, seed=1)
    far = pl.Series("at", [datetime(1677, 9, 22), datetime(9999, 12, 31)])
    asked: list[int] = []

    _by_hour(pl.concat([times, far]), counted(asked))

    assert asked == [2 * FEW + 2]


@pytest.mark.parametrize("convert", CONVERSIONS)
def test_nulls_alone_stay_nulls(convert: Conversion) -> None:
    times = pl.Series("at", [None] * 2 * FEW, pl.Datetime("us"))
    times = times if convert is instants else times.dt.replace_time_zone("UTC")

    assert convert(times, "Europe/Berlin").null_count() == 2 * FEW


def test_every_instant_comes_back_from_the_wall_clock_but_those_of_an_hours_second_pass() -> None:
    at = spread(datetime(2024, 10, 26), 48, 2 * FEW, seed=2).dt.replace_time_zone("UTC")
    second = at.is_between(datetime(2024, 10, 27, 1, tzinfo=UTC), datetime(2024, 10, 27, 2, tzinfo=UTC), closed="left")

    back = instants(wall_times(at, "Europe/Berlin"), "Europe/Berlin")

    assert second.any()
    assert back.equals(at.zip_with(~second, at - timedelta(hours=1)))


def spread(start: datetime, span: int, count: int, *, seed: int, null: bool = False) -> pl.Series:
    """`count` times within `span` hours of `start`, each hundredth one null where wanted."""
    offsets = np.random.default_rng(seed).integers(0, span * 3_600_000_000, count).astype("timedelta64[us]")
    times = pl.Series("at", np.datetime64(start) + offsets)
    return times.scatter(range(0, count, 100), None) if null else times


def counted(asked: list[int]) -> Callable[[pl.Series], pl.Series]:
    """A conversion that notes how many times it is asked for."""

    def each(times: pl.Series) -> pl.Series:
        asked.append(times.len())
        return times.dt.replace_time_zone("UTC")

    return each


def a_few_at_once(convert: Conversion, times: pl.Series, timezone: str) -> pl.Series:
    few = [times.slice(start, FEW - 1) for start in range(0, times.len(), FEW - 1)]
    return pl.concat([convert(part, timezone) for part in few])
