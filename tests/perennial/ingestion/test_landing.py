"""Ingestion: what lands depends on the file alone; when it was fetched is provenance."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.content import content_hash
from perennial.errors import SchemaSkew
from perennial.ingestion.landing import Arrival, land
from pipelines.delivery_eta import delivery_eta
from world.city import City
from world.files import told_orders

DAY = "2024-01-05"
ROWS = told_orders(City(), date(2024, 1, 5)).head(40)
AT = datetime(2026, 11, 21, tzinfo=UTC)


def arrival(frame: pl.DataFrame = ROWS, *, partition: str = DAY, fetched_at: datetime = AT) -> Arrival:
    return Arrival(
        partition=partition,
        rows=frame,
        uri="file:///orders.parquet",
        sha256="ab",
        size=9,
        signature="9-1",
        fetched_at=fetched_at,
    )


def test_rows_get_their_partition_event_time_and_the_time_from_which_they_were_known() -> None:
    landed = land(delivery_eta, arrival())

    assert landed.frame.select(delivery_eta.schema.names).equals(ROWS.select(delivery_eta.schema.names))
    assert landed.frame["partition"].unique().to_list() == [DAY]
    assert landed.frame["known_at"].unique().to_list() == [datetime(2024, 1, 6, 1, tzinfo=UTC)]
    first = ROWS["ordered_at"][0]
    assert landed.frame["event_time"][0] == first.replace(tzinfo=delivery_eta.time.zone)
    assert landed.known_at == delivery_eta.time.known_at(DAY)


@settings(max_examples=25)
@given(later=st.timedeltas(timedelta(0), timedelta(days=900)))
def test_files_of_the_past_landed_today_were_known_in_the_past(later: timedelta) -> None:
    first, again = land(delivery_eta, arrival()), land(delivery_eta, arrival(fetched_at=AT + later))

    assert content_hash(again.frame) == content_hash(first.frame)
    assert again.known_at == first.known_at < AT
    assert again.provenance["fetched_at"] == (AT + later).isoformat()


def test_provenance_says_where_the_rows_come_from_and_who_answers_for_them() -> None:
    assert land(delivery_eta, arrival()).provenance == {
        "uri": "file:///orders.parquet",
        "sha256": "ab",
        "bytes": 9,
        "rows": 40,
        "signature": "9-1",
        "fetched_at": AT.isoformat(),
        "licence": "CC0-1.0 (simulated)",
        "owner": "team:delivery",
    }


def test_a_cast_is_noted_and_the_content_is_that_of_the_declared_type() -> None:
    narrow = ROWS.with_columns(pl.col("items").cast(pl.Int16), pl.lit(None).alias("temperature_c"))

    landed = land(delivery_eta, arrival(narrow))

    assert landed.notes == ("temperature_c: null to float64", "items: int16 to int64")
    assert landed.frame.schema["items"] == pl.Int64


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (ROWS.drop("zone"), ["column 'zone' is missing", "expected column 'zone'"]),
        (ROWS.with_columns(tip=1.0), ["column 'tip' is not declared", "expected only"]),
        (ROWS.with_columns(pl.col("items").cast(str)), ["column 'items' has another type", "string such as", "int64"]),
        (ROWS.with_columns(items=pl.lit(1.5)), ["column 'items' holds 1.5 (row 0)", "39 more", "int64"]),
    ],
)
def test_skew_stops_the_partition_and_says_where(frame: pl.DataFrame, words: list[str]) -> None:
    with pytest.raises(SchemaSkew) as caught:
        land(delivery_eta, arrival(frame))

    for word in [f"delivery_eta {DAY}", *words]:
        assert word in str(caught.value)
