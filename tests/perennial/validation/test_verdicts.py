from __future__ import annotations

import logging
import math
import warnings
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.errors import DeclarationError
from perennial.time import Calendar, Daily, Hourly, Monthly
from perennial.validation.expectations import (
    Expectation,
    after,
    between,
    in_partition,
    in_set,
    matches,
    mean_between,
    not_null,
    quarantined_share,
    rows_between,
    share_not_null,
    unique,
)
from perennial.validation.verdicts import PartitionVerdict, judge_partitions, split_rows

CALENDAR = Daily(start="2024-01-01", event_time="at", timezone="America/New_York")
MINUTE = timedelta(minutes=1)
SCHEMA: dict[str, Any] = {
    "partition": pl.String,
    "at": pl.Datetime("us"),
    "until": pl.Datetime("us"),
    "distance": pl.Float64,
    "seats": pl.Int64,
    "kind": pl.String,
    "rain": pl.Boolean,
}
NOON = datetime(2024, 1, 2, 12)
GOOD: dict[str, Any] = {
    "partition": "2024-01-02",
    "at": NOON,
    "until": NOON + 20 * MINUTE,
    "distance": 2.5,
    "seats": 4,
    "kind": "car",
    "rain": False,
}
ROW_EXPECTATIONS = [
    not_null("seats"),
    between("distance", 0, 100, strict_low=True),
    in_set("seats", [2, 4]),
    in_set("rain", [False]),
    matches("kind", "^[a-z]+$"),
    after("until", "at"),
    after("until", "at", by=(MINUTE, 60 * MINUTE)),
    in_partition("at", tolerance=MINUTE),
]

values = {
    "partition": st.sampled_from(["2024-01-01", "2024-01-02", "2024-03-10", "2024-11-03"]),
    "at": st.none() | st.datetimes(datetime(2023, 12, 31, 23), datetime(2024, 1, 3, 1)),
    "until": st.none() | st.datetimes(datetime(2023, 12, 31, 23), datetime(2024, 1, 3, 2)),
    "distance": st.none() | st.sampled_from([0.0, 100.0, math.nan, math.inf]) | st.floats(-10, 200),
    "seats": st.none() | st.sampled_from([2, 4, 5, 2**53, 2**53 + 1]),
    "kind": st.none() | st.sampled_from(["car", "bike", "", "9", "CAR"]),
    "rain": st.none() | st.booleans(),
}
frames = st.lists(st.fixed_dictionaries(values), max_size=25).map(lambda rows: pl.DataFrame(rows, schema=SCHEMA))


def frame_of(*changes: dict[str, Any], partition: str = "2024-01-02") -> pl.DataFrame:
    return pl.DataFrame([GOOD | {"partition": partition} | change for change in changes], schema=SCHEMA)


def fails(expectation: Expectation, row: dict[str, Any]) -> bool:  # noqa: PLR0911 - a case each
    """Whether a row fails, as the declaration says it in plain Python."""
    value, limits = row[expectation.columns[0]], expectation.limits
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return expectation.kind == "not_null"
    match expectation.kind:
        case "not_null":
            return False
        case "between":
            return (
                not (limits["low"] < value if limits["strict_low"] else limits["low"] <= value)
                or value > limits["high"]
            )
        case "in_set":
            return value not in limits["values"]
        case "matches":
            return not (value.isascii() and value.isalpha() and value.islower())
        case "after":
            other = row[expectation.columns[1]]
            if other is None:
                return False
            low, high = limits["at_least"], limits["at_most"]
            return value <= other if low is None else not low <= value - other <= high
        case "in_partition":
            start = datetime.fromisoformat(row["partition"])
            return not start - limits["tolerance"] <= value < start + timedelta(days=1) + limits["tolerance"]
    raise AssertionError(expectation.kind)


@given(landed=frames)
@settings(max_examples=25)
def test_landed_is_accepted_plus_quarantined_in_order(landed: pl.DataFrame) -> None:
    landed = landed.with_row_index("row")

    split = split_rows(landed, ROW_EXPECTATIONS, CALENDAR)

    assert pl.concat([split.accepted, split.quarantined.drop("reason")]).sort("row").equals(landed)
    assert split.accepted["row"].is_sorted()
    assert split.quarantined["row"].is_sorted()


@given(landed=frames)
@settings(max_examples=25)
def test_a_row_is_quarantined_for_exactly_the_claims_it_fails(landed: pl.DataFrame) -> None:
    split = split_rows(landed.with_row_index("row"), ROW_EXPECTATIONS, CALENDAR)

    reasons = dict(split.quarantined.select("row", "reason").iter_rows())
    for number, row in enumerate(landed.iter_rows(named=True)):
        assert reasons.get(number, "") == "; ".join(e.claim for e in ROW_EXPECTATIONS if fails(e, row))


@given(landed=frames)
@settings(max_examples=12)
def test_results_count_the_failures_of_each_partition(landed: pl.DataFrame) -> None:
    split = split_rows(landed, ROW_EXPECTATIONS, CALENDAR)

    assert set(split.results) == set(landed["partition"])
    for key, results in split.results.items():
        rows = [row for row in landed.iter_rows(named=True) if row["partition"] == key]
        for result in results:
            expected = sum(fails(result.expectation, row) for row in rows)
            assert (result.unexpected, result.success) == (expected, expected == 0)
            assert result.share == expected / len(rows)
            assert len(result.examples) == min(5, expected)


@pytest.mark.parametrize(
    ("bad", "expectation"),
    [
        ({"seats": None}, not_null("seats")),
        ({"distance": 0.0}, between("distance", 0, 100, strict_low=True)),
        ({"seats": 3}, in_set("seats", [2, 4])),
        ({"kind": "car7"}, matches("kind", "^[a-z]+$")),
        ({"until": NOON}, after("until", "at")),
        ({"until": NOON + 3 * 60 * MINUTE}, after("until", "at", by=(MINUTE, 60 * MINUTE))),
        ({"at": NOON - timedelta(days=400)}, in_partition("at")),
    ],
    ids=lambda value: value.kind if isinstance(value, Expectation) else "",
)
def test_one_planted_row_of_each_kind_is_quarantined_with_its_reason_and_shown(
    bad: dict[str, Any], expectation: Expectation
) -> None:
    landed = frame_of({}, bad, {})

    split = split_rows(landed, [expectation], CALENDAR)

    assert split.quarantined["reason"].to_list() == [expectation.claim]
    assert split.accepted.height == 2
    (result,) = split.results["2024-01-02"]
    assert result.examples == ({"row": 1} | {name: landed[name][1] for name in expectation.columns},)


def test_an_expectation_of_severity_warn_is_counted_and_quarantines_nothing() -> None:
    split = split_rows(frame_of({"seats": 3}), [in_set("seats", [2, 4]).warn()], CALENDAR)

    assert (split.accepted.height, split.quarantined.height) == (1, 0)
    assert split.results["2024-01-02"][0].unexpected == 1


def test_at_most_five_failing_rows_are_shown() -> None:
    split = split_rows(frame_of(*[{"seats": None}] * 8), [not_null("seats")], CALENDAR)

    (result,) = split.results["2024-01-02"]
    assert (result.unexpected, [example["row"] for example in result.examples]) == (8, [0, 1, 2, 3, 4])


def test_a_column_full_of_nulls_fails_only_not_null() -> None:
    landed = frame_of({"distance": None, "kind": None, "at": None, "until": None, "rain": None, "seats": None})

    split = split_rows(landed, ROW_EXPECTATIONS, CALENDAR)

    assert split.quarantined["reason"].to_list() == [not_null("seats").claim]


def test_without_expectations_every_row_is_accepted() -> None:
    landed = frame_of({}, {})

    split = split_rows(landed, [], CALENDAR)

    assert split.accepted.equals(landed)
    assert "reason" in split.quarantined.columns
    verdict = judge_partitions(split, [])["2024-01-02"]
    assert (verdict.blocked, verdict.results) == (False, ())


def test_limits_in_text_are_read_as_times_on_a_datetime_column() -> None:
    landed = frame_of({}, {"at": datetime(2023, 5, 1)})

    split = split_rows(landed, [between("at", "2024-01-01")], CALENDAR)

    assert split.quarantined["at"].to_list() == [datetime(2023, 5, 1)]


def test_an_expectation_that_cannot_be_evaluated_is_refused_by_name() -> None:
    with pytest.raises(DeclarationError, match=r"'kind from 1 to 2' cannot be evaluated"):
        split_rows(frame_of({}), [between("kind", 1, 2)], CALENDAR)


@pytest.mark.parametrize(
    ("calendar", "key", "inside", "outside"),
    [
        (CALENDAR, "2024-03-10", datetime(2024, 3, 10, 23, 59), datetime(2024, 3, 11)),
        (CALENDAR, "2024-11-03", datetime(2024, 11, 3), datetime(2024, 11, 2, 23, 59, 59)),
        (Monthly(start="2024-01", event_time="at"), "2024-02", datetime(2024, 2, 29, 23), datetime(2024, 3, 1)),
        (
            Hourly(start="2024-01-01T00", event_time="at", timezone="America/New_York"),
            "2024-01-01T17",
            datetime(2024, 1, 1, 12, 30),
            datetime(2024, 1, 1, 17, 30),
        ),
        (
            Hourly(start="2024-01-01T00", event_time="at", timezone="America/New_York"),
            "2024-11-03T05",
            datetime(2024, 11, 3, 1, 30),
            datetime(2024, 11, 3, 2),
        ),
    ],
)
def test_a_partition_is_cut_by_the_wall_clock_of_its_calendar(
    calendar: Calendar, key: str, inside: datetime, outside: datetime
) -> None:
    landed = frame_of({"at": inside}, {"at": outside}, partition=key)

    split = split_rows(landed, [in_partition("at")], calendar)

    assert split.accepted["at"].to_list() == [inside]


def verdict_of(landed: pl.DataFrame, *expectations: Expectation, calendar: Calendar = CALENDAR) -> PartitionVerdict:
    return judge_partitions(split_rows(landed, expectations, calendar), expectations)["2024-01-02"]


@pytest.mark.parametrize(
    ("expectation", "good", "bad", "found"),
    [
        (rows_between(2, 3), [{}, {}], [{}], "found 1"),
        (rows_between(None, 1), [{}], [{}, {}], "found 2"),
        (unique("seats", "kind"), [{}, {"seats": 2}], [{}, {}, {"seats": 2}], "found 2 rows that share theirs"),
        (mean_between("distance", 2, 3), [{}], [{"distance": 9.5}], "found 9.5"),
        (mean_between("distance", 2, 3), [{}, {"distance": None}], [{"distance": None}], "found no value"),
        (mean_between("distance", 2, 3), [{}], [{}, {"distance": math.nan}], "found nan"),
        (share_not_null("kind", 0.5), [{}, {"kind": None}], [{"kind": None}], "found 0 %"),
    ],
    ids=lambda value: value.kind if isinstance(value, Expectation) else "",
)
def test_a_partition_expectation_blocks_the_partition_that_fails_it_and_no_other(
    expectation: Expectation, good: list[dict[str, Any]], bad: list[dict[str, Any]], found: str
) -> None:
    passed = verdict_of(frame_of(*good), expectation)
    failed = verdict_of(frame_of(*bad), expectation)

    assert (passed.blocked, passed.reason) == (False, None)
    assert failed.blocked
    assert failed.reason == f"{expectation.claim}: {found}"


def test_the_share_of_quarantined_rows_has_a_limit() -> None:
    expectations = [not_null("seats"), quarantined_share(0.5)]

    half = verdict_of(frame_of({}, {"seats": None}), *expectations)
    most = verdict_of(frame_of({}, {"seats": None}, {"seats": None}), *expectations)

    assert not half.blocked
    assert most.reason == "at most 50 % of landed rows quarantined: found 66.7 %"
    assert (most.landed, most.accepted, most.quarantined) == (3, 1, 2)


def test_a_failed_expectation_of_severity_warn_does_not_block() -> None:
    verdict = verdict_of(frame_of({}), rows_between(5).warn())

    assert not verdict.blocked
    assert [r.success for r in verdict.results] == [False]


def test_a_partition_whose_rows_are_all_quarantined_is_blocked_with_its_own_reason() -> None:
    verdict = verdict_of(
        frame_of({"seats": 9}, {"seats": None}), not_null("seats"), in_set("seats", [2, 4]), unique("at")
    )

    assert verdict.reason == "all 2 landed rows are quarantined, 1 of them for 'seats is not null'"
    assert verdict.blocked


def test_a_partition_without_rows_is_blocked() -> None:
    verdicts = judge_partitions(
        split_rows(frame_of(), ROW_EXPECTATIONS, CALENDAR), [unique("at")], partitions=["2024-01-02"]
    )

    assert verdicts["2024-01-02"].reason == "no row landed"


def test_a_bad_partition_does_not_touch_its_neighbours() -> None:
    landed = pl.concat([frame_of({}, {"seats": 2}), frame_of({"seats": 9}, partition="2024-01-03")])
    expectations = [in_set("seats", [2, 4]), rows_between(2), unique("seats"), mean_between("distance", 0, 9)]

    verdicts = judge_partitions(split_rows(landed, expectations, CALENDAR), expectations)

    assert [(v.partition, v.blocked) for v in verdicts.values()] == [("2024-01-02", False), ("2024-01-03", True)]


@given(landed=frames)
@settings(max_examples=12)
def test_many_partitions_are_judged_as_each_of_them_alone(landed: pl.DataFrame) -> None:
    expectations = [
        rows_between(2, 5),
        unique("seats", "kind"),
        mean_between("distance", 0, 50),
        share_not_null("rain", 0.5),
        quarantined_share(0.3),
    ]
    split = split_rows(landed, [*ROW_EXPECTATIONS[:2], *expectations], CALENDAR)

    verdicts = judge_partitions(split, expectations)

    for key, verdict in verdicts.items():
        alone = split_rows(landed.filter(pl.col("partition") == key), [*ROW_EXPECTATIONS[:2], *expectations], CALENDAR)
        assert repr(judge_partitions(alone, expectations)) == repr({key: verdict})  # repr: the mean of a NaN is NaN


def test_two_partitions_may_share_what_must_be_unique_in_each() -> None:
    landed = pl.concat([frame_of({}), frame_of({}, partition="2024-01-03")])

    verdicts = judge_partitions(split_rows(landed, [], CALENDAR), [unique("seats", "kind")])

    assert [verdict.blocked for verdict in verdicts.values()] == [False, False]


def test_keys_beyond_the_precision_of_floats_stay_apart() -> None:
    landed = frame_of({"seats": 2**53}, {"seats": 2**53 + 1}, {"seats": None}, {"seats": None})

    assert not verdict_of(landed, unique("seats")).blocked


def test_a_suite_that_sees_only_cleaned_rows_would_not_notice_what_this_one_does() -> None:
    landed = frame_of({}, {"distance": -1.0})
    expectation = between("distance", 0, 100)
    cleaned = split_rows(landed, [expectation], CALENDAR).accepted

    assert split_rows(cleaned, [expectation], CALENDAR).results["2024-01-02"][0].success
    assert not split_rows(landed, [expectation], CALENDAR).results["2024-01-02"][0].success


def test_great_expectations_leaves_the_warnings_of_the_process_alone() -> None:
    split_rows(frame_of({}), ROW_EXPECTATIONS, CALENDAR)

    assert vars(logging)["_warnings_showwarning"] is None
    with pytest.warns(UserWarning, match="still a warning"):
        warnings.warn("still a warning", stacklevel=1)


@pytest.mark.real_data
def test_a_real_month_of_taxi_trips_loses_its_bad_rows_and_keeps_the_others(real_data: Path) -> None:
    landed = pl.read_parquet(real_data / "green_taxi" / "green_tripdata_2023-02.parquet")
    landed = landed.with_columns(partition=pl.lit("2023-02"))
    calendar = Monthly(start="2023-01", event_time="lpep_pickup_datetime", timezone=ZoneInfo("America/New_York").key)
    span = (MINUTE, 6 * 60 * MINUTE)
    expectations = [
        between("trip_distance", 0, 100, strict_low=True),
        between("fare_amount", 0, 500),
        after("lpep_dropoff_datetime", "lpep_pickup_datetime", by=span),
        in_partition("lpep_pickup_datetime"),
        quarantined_share(0.1),
    ]

    verdict = judge_partitions(split_rows(landed, expectations, calendar), expectations)["2023-02"]

    duration = pl.col("lpep_dropoff_datetime") - pl.col("lpep_pickup_datetime")
    month = pl.col("lpep_pickup_datetime").is_between(datetime(2023, 2, 1), datetime(2023, 3, 1), closed="left")
    good = [
        (pl.col("trip_distance") > 0) & (pl.col("trip_distance") <= 100),
        pl.col("fare_amount").is_between(0, 500),
        duration.is_between(*span),
        month,
    ]
    expected = [landed.filter(~claim).height for claim in good]
    assert [r.unexpected for r in verdict.results[:4]] == expected
    assert verdict.accepted == landed.filter(pl.all_horizontal(good)).height
    assert not verdict.blocked


ZONES = ["America/New_York", "America/Santiago", "Europe/Berlin", "UTC"]


@given(
    zone=st.sampled_from(ZONES),
    instant=st.datetimes(datetime(2023, 1, 1), datetime(2024, 12, 31), timezones=st.just(ZoneInfo("UTC"))),
    kind=st.sampled_from([Daily, Hourly, Monthly]),
)
@settings(max_examples=60)
def test_an_event_lies_in_the_partition_that_its_calendar_names_for_it(
    zone: str, instant: datetime, kind: type[Calendar]
) -> None:
    calendar = kind(start="2023", event_time="at", timezone=zone)
    local = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    landed = frame_of({"at": local}, partition=calendar.key_of(instant))

    assert split_rows(landed, [in_partition("at")], calendar).accepted.height == 1
