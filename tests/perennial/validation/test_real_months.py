"""Real months with real shifts: none is blocked, and May's fares are told."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from benchmarks.in_order import judge_in_order
from perennial.casting import cast_partition
from perennial.validation.seasons.judgement import Judgement, Seasons
from perennial.validation.seasons.panel import panel_of
from perennial.validation.seasons.summaries import summarize_partitions, watched_columns
from pipelines.taxi_eta import taxi_eta

MONTHS = [f"2023-{month:02d}" for month in range(1, 13)]
LASTS = (pl.col("dropoff_at") - pl.col("pickup_at")).dt.total_seconds()


def accepted(folder: Path, month: str) -> pl.DataFrame:
    """The month's rows by the declared limits, without Great Expectations, which says nothing about seasons."""
    raw = pl.read_parquet(folder / "green_taxi" / f"green_tripdata_{month}.parquet")
    zones = pl.read_csv(folder / "taxi_zones" / "taxi_zone_lookup.csv", null_values=["N/A", "Unknown"])
    boroughs = zones.select(
        pl.col("LocationID").cast(raw.schema["PULocationID"]), pl.col("Borough").alias("zones.Borough")
    )
    raw = raw.join(boroughs, left_on="PULocationID", right_on="LocationID", how="left", maintain_order="left")
    rows = cast_partition(raw, taxi_eta.schema, where=month).frame.with_columns(partition=pl.lit(month))
    return rows.filter(
        LASTS.is_between(1, 3 * 3600),
        pl.col("planned_distance").is_between(0, 100, closed="right"),
        pl.col("fare_amount").is_between(0, 1_000, closed="right"),
        pl.col("pickup_at").dt.strftime("%Y-%m") == month,
    )


@pytest.fixture(scope="module")
def summaries(real_data: Path) -> pl.DataFrame:
    return pl.concat(summarize_partitions(accepted(real_data, month), taxi_eta) for month in MONTHS)


def judged(summaries: pl.DataFrame) -> dict[str, Judgement]:
    return judge_in_order(
        panel_of(summaries),
        MONTHS,
        [],
        columns=watched_columns(taxi_eta),
        calendar=taxi_eta.time,
        seasons=Seasons(),
    )


@pytest.mark.real_data
def test_no_real_month_is_blocked_and_mays_fares_warn(summaries: pl.DataFrame) -> None:
    verdicts = judged(summaries)

    assert {key: v.verdict for key, v in verdicts.items() if v.verdict != "pass"} == {"2023-05": "warn"}
    assert [(c.family, c.column) for c in verdicts["2023-05"].culprits] == [("distribution", "fare_amount")]


@pytest.mark.real_data
def test_a_real_month_in_kilometres_is_blocked(summaries: pl.DataFrame, real_data: Path) -> None:
    wrong = accepted(real_data, "2023-12").with_columns(pl.col("planned_distance") * 1.609)
    changed = pl.concat([summaries.filter(pl.col("partition") != "2023-12"), summarize_partitions(wrong, taxi_eta)])

    verdict = judged(changed)["2023-12"]

    assert verdict.verdict == "block"
    assert ("units", "planned_distance") in {(c.family, c.column) for c in verdict.culprits}
