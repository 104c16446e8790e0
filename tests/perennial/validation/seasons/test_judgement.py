"""A partition that resembles its history passes; what is broken blocks, what has moved asks for a new model."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from benchmarks.in_order import judge_in_order
from perennial.time import Daily, Hourly, Monthly
from perennial.validation.seasons.diagnoses import FAMILIES
from perennial.validation.seasons.judgement import Judgement, Seasons, judge, min_history_of, season_of
from perennial.validation.seasons.panel import panel_of
from perennial.validation.seasons.pictures import season_picture
from perennial.validation.seasons.summaries import summarize_partitions, watched_columns
from pipelines.delivery_eta import delivery_eta
from tests.perennial.validation.days import LENGTH, day, history, judged, today

number = pl.int_range(pl.len())
times = ("ordered_at", "delivered_at")
BROKEN = {
    "units": ("units", "distance_km", today(pl.col("distance_km") * 1000)),
    "miles for kilometres": ("units", "distance_km", today(pl.col("distance_km") * 1.609)),
    "nulls": ("completeness", "items", today(pl.when(number % 3 > 0).then("items").alias("items"))),
    "stuck": ("stuck", "distance_km", today(pl.lit(2.5).alias("distance_km"))),
    "twice": ("uniqueness", "", pl.concat([today(), today()])),
    "half": ("volume", "", today().gather_every(3)),
    "tenfold": ("volume", "", pl.concat(today(pl.col("order_id") + f"-{n}") for n in range(10))),
    "clock": ("clock", "", today(*(pl.col(name) - timedelta(hours=2) for name in times))),
    "no evening": ("coverage", "", today().filter(~pl.col("ordered_at").dt.hour().is_between(18, 19))),
    "swapped": ("columns", "distance_km", today(
        pl.col("temperature_c").fill_null(20.0).alias("distance_km"), pl.col("distance_km").alias("temperature_c"))),
    "another vocabulary": ("vocabulary", "zone", today(("Z-" + pl.col("zone")).alias("zone"))),
    "yesterday again": ("repetition", "", day(LENGTH - 1).with_columns(
        *(pl.col(name) + timedelta(days=1) for name in times), partition=pl.lit(today()["partition"][0]))),
    "dealt out anew": ("structure", "distance_km", today(pl.col("distance_km").shuffle(seed=1))),
}  # fmt: skip


def families(judgement: Judgement, level: str) -> set[tuple[str, str]]:
    return {(c.family, c.column) for c in judgement.culprits if c.level == level}


def test_a_day_like_the_others_passes() -> None:
    judgement = judged(today())

    assert (judgement.verdict, judgement.culprits) == ("pass", ())
    assert f"resembles the {LENGTH} partitions" in judgement.reason
    assert judgement.statistics > 100


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_broken_blocks_and_names_its_family_and_column(fault: str) -> None:
    family, column, rows = BROKEN[fault]

    judgement = judged(rows)

    assert judgement.verdict == "block"
    assert (family, column) in families(judgement, "block")
    assert family in FAMILIES


def test_a_world_that_moved_asks_for_a_new_model() -> None:
    judgement = judged(today(pl.col("distance_km") + 1.5))

    assert judgement.verdict == "retrain"
    assert ("distribution", "distance_km") in families(judgement, "retrain")


def test_a_new_zone_that_takes_a_part_of_the_orders_is_the_world() -> None:
    opened = pl.when(number % 3 == 0).then(pl.lit("riverside")).otherwise("zone").alias("zone")

    judgement = judged(today(opened))

    assert judgement.verdict == "retrain"
    assert "riverside" in judgement.reason


def test_a_column_that_no_feature_reads_only_warns() -> None:
    from dataclasses import replace

    columns = [replace(column, feeds_model=False) for column in watched_columns(delivery_eta)]
    rows = today(pl.col("distance_km") + 1.5)
    panel = panel_of(pl.concat([history(), summarize_partitions(rows, delivery_eta)]))

    judgement = judge(
        panel,
        rows["partition"][0],
        panel.partitions[:-1],
        columns=columns,
        calendar=delivery_eta.time,
        seasons=Seasons(),
    )

    assert judgement.verdict == "warn"


def test_a_short_history_passes_and_says_so() -> None:
    judgement = judged(BROKEN["units"][2], seasons=Seasons(min_history=LENGTH + 1))

    assert judgement.verdict == "pass"
    assert f"not enough history: {LENGTH} partitions" in judgement.reason


def test_an_ignored_column_is_not_judged() -> None:
    judgement = judged(BROKEN["units"][2], seasons=Seasons(ignore=("distance_km",)))

    assert not any("distance_km" in (c.column, c.statistic.removeprefix("correlation ")) for c in judgement.culprits)


def test_the_days_after_do_not_change_a_verdict() -> None:
    rows = BROKEN["miles for kilometres"][2]
    later = day(LENGTH + 1).with_columns(pl.col("distance_km") * 1.609)

    alone, with_later = (
        judged(rows),
        judged(rows, past=pl.concat([history(), summarize_partitions(later, delivery_eta)])),
    )

    assert alone.culprits == with_later.culprits


def test_what_is_blocked_is_no_history_until_it_is_acknowledged() -> None:
    keys = [day(LENGTH + more)["partition"][0] for more in range(2)]
    rows = pl.concat(day(LENGTH + more) for more in range(2)).with_columns(pl.col("distance_km") * 1.609)
    panel = panel_of(pl.concat([history(), summarize_partitions(rows, delivery_eta)]))

    def second(acknowledged: frozenset[str]) -> Judgement:
        return judge_in_order(
            panel, keys, panel.partitions[:-2], columns=watched_columns(delivery_eta), calendar=delivery_eta.time,
            seasons=Seasons(), acknowledged=acknowledged,
        )[keys[1]]  # fmt: skip

    assert keys[0] not in second(frozenset()).history
    assert keys[0] in second(frozenset(keys[:1])).history


def test_a_day_without_rows_is_blocked_for_it() -> None:
    judgement = judged(today().clear())

    assert (judgement.verdict, judgement.culprits) == ("block", ())
    assert judgement.reason == f"volume: it has no rows; each of the {LENGTH} partitions before it had some"


def test_a_reason_names_each_family_and_column_once_and_counts_the_rest() -> None:
    judgement = judged(today(pl.col("distance_km") + 2.0))

    assert judgement.verdict == "retrain"
    assert judgement.reason.count("distribution: distance_km") == 1
    assert judgement.reason.endswith(" more")


@pytest.mark.parametrize("fault", ["units", "no evening", "yesterday again"])
def test_a_picture_is_drawn_of_each_verdict(fault: str) -> None:
    rows = BROKEN[fault][2]
    panel = panel_of(pl.concat([history(), summarize_partitions(rows, delivery_eta)]))

    for judgement in (judged(rows), judged(today())):
        assert season_picture(panel, judgement, delivery_eta).startswith(b"\x89PNG")


def test_seasons_are_weekdays_months_and_hours() -> None:
    berlin = "Europe/Berlin"
    assert season_of(Daily(start="2024-01-01", event_time="at", timezone=berlin), "2024-03-31") == 6
    assert season_of(Monthly(start="2024-01", event_time="at", timezone=berlin), "2024-12") == 11
    assert season_of(Hourly(start="2024-01-01T00", event_time="at"), "2024-01-01T13") == 13
    assert min_history_of(Seasons(), Monthly(start="2024-01", event_time="at")) == 3
