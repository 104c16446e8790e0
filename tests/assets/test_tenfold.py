"""Tenfold: a partition ten times its usual size is taken in whole, blocked with its number, and harms no neighbour."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pipelines.delivery_eta import delivery_eta
from tests.assets.house import open_house, simulate_days

BEFORE, TENFOLD = "2024-01-01", "2024-01-02"


def test_a_day_ten_times_its_usual_size_is_blocked_and_its_neighbour_stands(tmp_path: Path) -> None:
    simulate_days(tmp_path / "home", BEFORE, TENFOLD)
    with open_house(tmp_path / "home") as house:
        usual = pl.read_parquet(house.file(TENFOLD))
        copies = [usual.with_columns(pl.col("order_id") + f"-{number}") for number in range(10)]
        pl.concat(copies).write_parquet(house.file(TENFOLD))

        result = house.run("landed", "accepted", "quarantined", "summary", "features", keys=(BEFORE, TENFOLD))

        records = {name: house.tables.records(delivery_eta, name) for name in ("landed", "accepted", "features")}
        assert records["landed"][TENFOLD].rows == 10 * usual.height
        blocked = records["accepted"][TENFOLD]
        assert blocked.status == "blocked"
        assert f"accepted rows from 100 to 2,000: found {blocked.rows}" in str(blocked.reason)
        assert not result.success
        assert {key for key, record in records["features"].items() if record.status == "ok"} == {BEFORE}
