"""Blocked: while a version serves, a batch prediction refuses a day that validation has blocked since."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tests.assets.house import copy_of
from tests.journeys.conftest import LAST


def test_a_prediction_refuses_a_blocked_day(released: Path, tmp_path: Path) -> None:
    with copy_of(released, tmp_path / "home") as house:
        assert house.run("predictions", keys=LAST).success
        house.rewrite(LAST, -pl.col("distance_km"))
        house.run("landed", "accepted", "quarantined", keys=LAST)

        (error,) = house.run("predictions", keys=LAST).errors

        assert error.kind == "PartitionBlocked"
        assert "accepted is blocked" in error.message
