"""Telling: a long range says in few lines what its bad days share, each against the last day that was good."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from assets.telling import MOST
from tests.assets.house import open_house, simulate_days

GOOD, FIRST, LAST = "2024-01-01", "2024-01-02", "2024-01-08"


def test_a_batch_of_bad_days_is_one_message_that_is_cut_and_holds_each_against_the_last_good_one(
    tmp_path: Path,
) -> None:
    simulate_days(tmp_path / "home", GOOD, LAST)
    with open_house(tmp_path / "home") as house:
        assert house.run("landed", "accepted", "quarantined", keys=GOOD).success
        half = pl.when(pl.int_range(pl.len()) % 2 == 0)
        for day in house.pipeline.time.keys(FIRST, LAST):
            house.rewrite(day, half.then(-pl.col("distance_km")).otherwise("distance_km").alias("distance_km"))

        house.run("landed", "accepted", "quarantined", keys=(FIRST, LAST))
        batch = house.run("accepted", "quarantined", keys=(FIRST, LAST))

        messages = [e.user_message for e in house.instance.all_logs(batch.run_id) if not e.is_dagster_event]
        (said,) = [message for message in messages if "last good one" in message]
        *lines, more = said.splitlines()
        assert len(lines) == MOST
        assert re.fullmatch(r"and [1-9]\d* lines more: see the checks", more)
        compared = [line for line in lines if "last good one" in line]
        assert compared
        assert all(f" against {GOOD}, the last good one" in line for line in compared)
