"""Hotel: the bookings' file as it was known on a day, made from the real one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from assets.pipeline import build_assets
from perennial import Schema, col
from perennial.declaration import Pipeline
from pipelines.hotel_cancellation import hotel_cancellation
from resources.stores import resources
from tests.assets.house import House
from tests.clock import FixedClock

FILE = "hotel_bookings.csv.zip"
BEFORE: dict[str, Any] = {
    "is_canceled": None,
    "reservation_status": None,
    "reservation_status_date": None,
    "adr": None,
    "booking_changes": "0",
    "days_in_waiting_list": "0",
    "total_of_special_requests": "0",
    "required_car_parking_spaces": "0",
    "deposit_type": "No Deposit",
    "country": "PRT",
    "assigned_room_type": pl.col("reserved_room_type"),
}
"""What a booking's row says of itself until its outcome is there."""


def bookings(folder: Path, *, every: int = 1) -> pl.DataFrame:
    """Every so many of the real bookings as text, in the order in which they were booked, with both dates."""
    with zipfile.ZipFile(folder / FILE) as archive:
        content = archive.read(archive.namelist()[0])
    rows = pl.read_csv(content, infer_schema=False, null_values=["NULL", "NA"]).gather_every(every)
    arrival = pl.concat_str(
        ["arrival_date_year", "arrival_date_month", "arrival_date_day_of_month"], separator="-"
    ).str.to_date("%Y-%B-%d")
    booked = arrival - pl.duration(days=pl.col("lead_time").cast(pl.Int64))
    status = pl.col("reservation_status_date").str.to_date()
    return rows.with_columns(booked=booked, status=status).sort("booked", maintain_order=True)


def known_on(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """The file at the beginning of `day`: bookings made before, those without an outcome as they were then."""
    waits = pl.col("status") >= day
    before = [pl.when(waits).then(value).otherwise(pl.col(name)).alias(name) for name, value in _texts().items()]
    return rows.filter(pl.col("booked") < day).with_columns(before).drop("booked", "status")


def with_outcomes(rows: pl.DataFrame, day: date, *, arrived: pl.Expr) -> pl.DataFrame:
    """The file at the beginning of `day`, but with what became of the bookings for which `arrived` holds."""
    there = rows.filter(pl.col("booked") < day)
    before, after = known_on(rows, day), there.drop("booked", "status")
    rowwise = pl.when(there.select(arrived).to_series()).then(after.to_struct()).otherwise(before.to_struct())
    return before.select(rowwise.alias("row")).unnest("row")


def deliver(rows: pl.DataFrame, folder: Path) -> None:
    """Let the source hold `rows`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hotel_bookings.csv", rows.write_csv(null_value="NULL"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_bytes(buffer.getvalue())


def with_features(*put_back: pl.Expr, **changes: Any) -> Pipeline:
    """The declaration with barred columns put back: declared as known when the booking is made, and used."""
    used = {name for expression in put_back for name in expression.meta.root_names()}
    columns = {
        name: replace(column, known="at_event") if name in used else column
        for name, column in hotel_cancellation.schema.columns.items()
    }
    schema = Schema(columns, allow_additional=True)
    return replace(hotel_cancellation, schema=schema, features=[*hotel_cancellation.features, *put_back], **changes)


BARRED: Sequence[pl.Expr] = (
    col("reservation_status"),
    (col("status_on") - col("booked_on")).dt.total_days().alias("days_to_status"),
    col("assigned_room_type"),
    col("booking_changes"),
    col("required_car_parking_spaces"),
    col("total_of_special_requests"),
    col("days_in_waiting_list"),
    col("deposit_type"),
    col("adr"),
    col("country"),
)


@dataclass(frozen=True, kw_only=True)
class DatedHouse(House):
    """A house in which it is the beginning of `day`."""

    day: date

    @cached_property
    def definitions(self) -> dg.Definitions:
        clock = FixedClock(datetime.combine(self.day, time(), tzinfo=UTC))
        return dg.Definitions(
            assets=build_assets(self.pipeline),
            resources={**resources(), "clock": dg.ResourceDefinition(lambda _: clock)},
            executor=dg.in_process_executor,
        )


def _texts() -> dict[str, pl.Expr]:
    return {n: value if isinstance(value, pl.Expr) else pl.lit(value, pl.String) for n, value in BEFORE.items()}
