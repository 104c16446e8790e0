"""Telling: a long range says in few lines what its bad days share, each against the last day that was good."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import polars as pl

from assets.telling import MOST
from resources.runs import RunResult
from tests.assets.house import House, open_house, simulate_days

GOOD, FIRST, LAST, AFTER = "2024-01-01", "2024-01-02", "2024-01-08", "2024-01-09"
ROWS = ("landed", "accepted", "quarantined")


def test_a_batch_of_bad_days_is_one_message_that_is_cut_and_holds_each_against_the_last_good_one(
    tmp_path: Path,
) -> None:
    simulate_days(tmp_path / "home", GOOD, AFTER)
    with open_house(tmp_path / "home") as house:
        house.rewrite(AFTER, negative(one_in=100))
        for day in (GOOD, AFTER):
            assert house.run(*ROWS, keys=day).success
        for day in house.pipeline.time.keys(FIRST, LAST):
            house.rewrite(day, negative(one_in=2))

        house.run(*ROWS, keys=(FIRST, LAST))
        batch = house.run("accepted", "quarantined", keys=(FIRST, LAST))

        (said,) = [message for message in messages(house, batch) if "does not hold" in message]
        *lines, more = said.splitlines()
        assert len(lines) == MOST
        assert re.fullmatch(r"and [1-9]\d* lines more: see the checks", more)
        compared = [line for line in lines if "last good one" in line]
        assert compared
        assert all(f" against {GOOD}, the last good one" in line for line in compared)


def test_a_day_that_goes_on_tells_its_failing_rows_and_is_held_against_none(tmp_path: Path) -> None:
    simulate_days(tmp_path / "home", GOOD, FIRST)
    with open_house(tmp_path / "home") as house:
        house.rewrite(FIRST, negative(one_in=100))

        run = replace(house, illustrated=True).run(*ROWS, keys=(GOOD, FIRST))

        assert run.success
        told = [message for message in messages(house, run) if message.startswith(FIRST)]
        assert any("'distance_km above 0, at most 30' does not hold" in message for message in told)
        assert not any("last good one" in message for message in told)
        checks = house.evaluations("accepted", "expectations_hold", run.run_id)
        assert [key for key in (GOOD, FIRST) if "data docs" in checks[key].metadata] == [FIRST], "the last of the run"


def negative(*, one_in: int) -> pl.Expr:
    """Distances below zero, in one of so many rows."""
    wrong = pl.when(pl.int_range(pl.len()) % one_in == 0).then(-pl.col("distance_km"))
    return wrong.otherwise("distance_km").alias("distance_km")


def messages(house: House, run: RunResult) -> list[str]:
    """What the run itself said in its log."""
    return [entry.user_message for entry in house.instance.all_logs(run.run_id) if not entry.is_dagster_event]
