"""When a partition first arrived is kept with its record, whatever lands of it later, and changes no content."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from perennial.ingestion.lateness import CHECK
from tests.assets.house import House, open_house, simulate_days
from tests.clock import FixedClock

DAYS = ("2024-01-01", "2024-01-02")
ARRIVED = datetime(2024, 1, 3, 4, tzinfo=UTC)


def land(house: House, at: datetime) -> str:
    """Land both days at an instant; the run's id."""
    result = replace(house, clock=FixedClock(at)).run("landed", "accepted", "quarantined", keys=DAYS)
    assert result.success
    return result.run_id


def arrivals(house: House, day: str) -> dict[int, str]:
    return {n: r.provenance["arrived_at"] for n, r in house.tables.history(house.pipeline, "landed")[day].items()}


def test_a_second_delivery_keeps_the_first_arrival_and_the_clock_changes_no_content(tmp_path: Path) -> None:
    simulate_days(tmp_path / "home", *DAYS)
    with open_house(tmp_path / "home") as house:
        first = land(house, ARRIVED)
        before = house.tables.records(house.pipeline, "landed")

        land(house, ARRIVED + timedelta(hours=7))
        house.rewrite(DAYS[1], pl.col("distance_km") + 0.001)
        land(house, ARRIVED + timedelta(hours=9))

        after = house.tables.records(house.pipeline, "landed")
        assert after[DAYS[0]].content_hash == before[DAYS[0]].content_hash
        assert arrivals(house, DAYS[0]) == {1: ARRIVED.isoformat()}
        assert arrivals(house, DAYS[1]) == {1: ARRIVED.isoformat(), 2: ARRIVED.isoformat()}
        (said,) = house.evaluations("landed", CHECK, first).values()
        assert said.passed
        assert said.partition is None
        assert str(said.description).startswith(f"{DAYS[1]} arrived 5 h after its end")


def test_a_file_that_cannot_be_read_has_arrived_and_one_that_is_not_there_has_not(tmp_path: Path) -> None:
    simulate_days(tmp_path / "home", *DAYS)
    with open_house(tmp_path / "home") as house:
        house.file(DAYS[0]).write_bytes(b"<html>404</html>")
        house.file(DAYS[1]).unlink()

        result = replace(house, clock=FixedClock(ARRIVED)).run("landed", keys=DAYS)

        assert not result.success
        records = house.tables.records(house.pipeline, "landed")
        assert records[DAYS[0]].provenance.get("arrived_at") == ARRIVED.isoformat()
        assert "arrived_at" not in records[DAYS[1]].provenance
