"""Plain aggregates: four rolling aggregates of taxi months, joined to each trip as known, by plain Polars.

python -m benchmarks.plain.aggregates FOLDER 2023-01 2023-12

FOLDER holds the accepted rows of each month as `2023-01.parquet`. Ends with one line of JSON: the seconds
that it took, and sums of the joined columns, so that the other side can be held against it.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

DAYS = 28
ZONE = "America/New_York"
READ = ["event_time", "known_at", "pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone"]
ENTITIES = (["pickup_zone"], ["pickup_zone", "dropoff_zone"])


def main(folder: str, first: str, last: str) -> None:
    """Aggregate, join and write the joined rows; say how long it took and what they add up to."""
    months = sorted(path for path in Path(folder).glob("????-??.parquet") if first <= path.stem <= last)
    start = time.perf_counter()
    joined = compute(months, Path(folder))
    seconds = time.perf_counter() - start
    sys.stdout.write(json.dumps({"seconds": seconds, "sums": sums(joined)}) + "\n")


def compute(months: list[Path], folder: Path) -> pl.DataFrame:
    """Each trip with its four aggregates, written beside the states that they come from."""
    local = pl.col("event_time").dt.convert_time_zone(ZONE)
    trips = pl.concat([pl.read_parquet(month, columns=READ) for month in months]).with_columns(
        local.dt.date().alias("day"),
        local.dt.strftime("%Y-%m").alias("month"),
        ((pl.col("dropoff_at") - pl.col("pickup_at")).dt.total_seconds() / 60).alias("minutes"),
        pl.max_horizontal("known_at", _instant(pl.col("dropoff_at"))).alias("known"),
    )
    joined = trips
    for by in ENTITIES:
        state = pl.concat([_state(trips, month.stem, by) for month in months])
        state.write_parquet(folder / f"plain_{'_'.join(by)}.parquet")
        joined = joined.join(state, on=["month", *by], how="left", maintain_order="left")
    joined = joined.select("event_time", pl.col("^.*_28d$"))
    joined.write_parquet(folder / "plain_joined.parquet")
    return joined


def sums(joined: pl.DataFrame) -> dict[str, float]:
    """The sum and the number of values of each aggregate."""
    names = sorted(name for name in joined.columns if name.endswith("_28d"))
    totals = joined.select(pl.col(name).cast(pl.Float64).sum().round(1) for name in names).row(0, named=True)
    return totals | {f"{name} values": joined[name].count() for name in names}


def _state(trips: pl.DataFrame, month: str, by: list[str]) -> pl.DataFrame:
    """The aggregates at the end of `month`, for the trips of the next one."""
    end = (datetime.strptime(month, "%Y-%m").replace(day=28) + timedelta(days=4)).date().replace(day=1)  # noqa: DTZ007
    known = pl.col("known") <= _instant(pl.lit(datetime.combine(end, datetime.min.time())))
    window = trips.filter(pl.col("day").is_between(end - timedelta(days=DAYS), end, closed="left"))
    name = "_".join(by)
    return (
        window.group_by(by)
        .agg(
            pl.col("minutes").filter(known).mean().cast(pl.Float32).alias(f"{name}_mean_minutes_28d"),
            pl.len().cast(pl.Float32).alias(f"{name}_count_28d"),
        )
        .with_columns(month=pl.lit(f"{end:%Y-%m}"))
    )


def _instant(wall: pl.Expr) -> pl.Expr:
    return wall.dt.replace_time_zone(ZONE, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


if __name__ == "__main__":
    main(*sys.argv[1:])
