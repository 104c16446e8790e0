"""Long texts: values of a megabyte pass the whole graph, and nobody has to scroll past them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
from dagster._serdes import serialize_value

from pipelines.delivery_eta import delivery_eta
from tests.assets.house import open_house, simulate_days

DAY, MEGABYTE = "2024-01-01", 2**20
TEXT = "long " * (MEGABYTE // 5)


def test_texts_of_a_megabyte_become_features_or_quarantined_rows_and_reach_no_log(tmp_path: Path) -> None:
    """The fourth is quarantined for its distance, and perhaps another: the city makes mistakes of its own."""
    simulate_days(tmp_path / "home", DAY, DAY)
    with open_house(tmp_path / "home") as house:
        row = pl.int_range(pl.len())
        house.rewrite(
            DAY,
            pl.when(row < 4).then(pl.lit(TEXT) + row.cast(pl.String)).otherwise("restaurant").alias("restaurant"),
            pl.when(row == 3).then(-1.0).otherwise("distance_km").alias("distance_km"),
        )

        result = replace(house, illustrated=True).run(keys=DAY)

        assert result.success, result.errors
        found = {
            name: house.tables.read(delivery_eta, name, [DAY]).filter(pl.col("restaurant").str.starts_with(TEXT)).height
            for name in ("landed", "accepted", "quarantined", "features")
        }
        assert found["landed"] == found["accepted"] + found["quarantined"] == 4
        assert found["features"] == found["accepted"] >= 1
        assert found["quarantined"] >= 1
        events = house.instance.all_logs(result.run_id)
        assert not [event.dagster_event_type for event in events if TEXT[:10_000] in serialize_value(event)]
