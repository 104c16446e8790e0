"""Backfill: computes what is not up to date, and shows what is blocked. Kills: tests/journeys/test_kill.py."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from cli.backfill import UNFINISHED
from perennial.settings import Home
from perennial.stores.lake.acknowledgements import acknowledge
from pipelines.discovery import discover
from resources.instance import open_instance
from resources.stores import open_tables
from tests.cli.conftest import Command
from tests.eta import DATA

FIRST, LAST = "2024-01-01", "2024-01-04"


def file_of(home: Home, day: str) -> Path:
    return home.root / "world" / "delivery_eta" / f"orders_{day}.parquet"


def contents(home: Home) -> dict[str, dict[str, str]]:
    tables, pipeline = open_tables(home), discover().named("delivery_eta")
    return {name: {key: r.content_hash for key, r in tables.records(pipeline, name).items()} for name in DATA}


def test_an_empty_folder_is_simulated_and_a_second_backfill_computes_nothing(perennial: Command, home: Home) -> None:
    said = perennial("backfill", "delivery_eta", FIRST, LAST)

    assert said.code == 0
    assert "4 of 4 partitions to compute" in said.output
    assert "4 of 4 partitions ok, 0 blocked" in said.output
    assert all(len(by_key) == 4 for by_key in contents(home).values())
    again = perennial("backfill", "delivery_eta", FIRST, LAST)
    assert "0 of 4 partitions to compute" in again.output
    assert again.code == 0
    with open_instance(home, dict(os.environ)) as instance:
        (run,) = instance.get_runs()
    assert run.tags["perennial/reason"] == f"backfill of {FIRST} to {LAST}"


def test_a_damaged_file_blocks_its_day_alone_until_it_is_mended(perennial: Command, home: Home) -> None:
    perennial("simulate", "--until", LAST)
    good = file_of(home, "2024-01-02").read_bytes()
    file_of(home, "2024-01-02").write_bytes(b"<html>404</html>")

    said = perennial("backfill", "delivery_eta", FIRST, LAST)

    assert said.code == 1
    assert "3 of 4 partitions ok, 1 blocked" in said.output
    assert "is an HTML page" in said.output
    file_of(home, "2024-01-02").write_bytes(good)
    mended = perennial("backfill", "delivery_eta", FIRST, LAST)
    assert mended.code == 0
    assert "1 of 4 partitions to compute" in mended.output
    assert (
        "computed again, since they had seen these rows otherwise: 2024-01-03 .. 2024-01-04, 2 in all" in mended.output
    )


def test_a_simulation_that_was_killed_is_gone_on_with(perennial: Command, home: Home) -> None:
    perennial("simulate", "--until", FIRST)
    (file_of(home, FIRST).parent / UNFINISHED).touch()

    said = perennial("backfill", "delivery_eta", FIRST, LAST)

    assert said.code == 0
    assert "4 of 4 partitions ok" in said.output
    assert not (file_of(home, FIRST).parent / UNFINISHED).exists()


def test_a_day_that_is_missing_is_named_and_not_made_up(perennial: Command, home: Home) -> None:
    perennial("simulate", "--until", FIRST)

    said = perennial("backfill", "delivery_eta", FIRST, "2024-01-02")

    assert said.code == 1
    assert "1 of 2 partitions ok, 1 blocked" in said.output
    assert not file_of(home, "2024-01-02").exists()


def test_status_shows_freshness_and_what_is_behind(perennial: Command, home: Home) -> None:
    perennial("backfill", "delivery_eta", FIRST, FIRST)

    said = perennial("status")

    assert said.code == 0
    assert "to 2024-01-01" in said.output
    assert "none yet" in said.output


def test_what_history_blocks_is_said_with_the_way_out_and_verdicts_that_rest_on_it_are_given_again(
    perennial: Command, home: Home
) -> None:
    broken, moved, cut, last = "2024-01-15", "2024-01-16", "2024-01-17", "2024-01-18"
    perennial("simulate", "--until", last)
    for day, change in ((broken, pl.col("distance_km") * 1.609), (moved, pl.col("distance_km") + 2.0)):
        pl.read_parquet(file_of(home, day)).with_columns(change).write_parquet(file_of(home, day))
    pl.read_parquet(file_of(home, cut)).gather_every(3).write_parquet(file_of(home, cut))

    said = perennial("backfill", "delivery_eta", FIRST, last)

    assert said.code == 0, "the rows stand: it is training that does not read them"
    assert "18 of 18 partitions ok, 0 blocked" in said.output
    assert "partitions that no training reads: 2" in said.output
    assert f"{broken}: summary blocks it: units: distance_km" in said.output
    assert f"if it is right: perennial acknowledge delivery_eta {broken} --why '...'\n" in said.output
    assert f"partitions that ask for retraining: 1\n{moved}: " in said.output

    found = perennial("acknowledge", "delivery_eta", broken, "--why", "miles now")
    assert found.code == 0, found.errors
    assert f"delivery_eta {broken}: trainings may read it; it was blocked for: units: distance_km" in found.output
    assert last_run(home) == (f"acknowledgement of {broken}", {"summary"})

    tables, pipeline = open_tables(home), discover().named("delivery_eta")
    acknowledge(tables, pipeline, cut, "half a holiday", actor="ann", at=datetime(2024, 2, 1, tzinfo=UTC))
    again = perennial("backfill", "delivery_eta", FIRST, last)
    assert "0 of 18 partitions to compute" in again.output
    assert f"judged again, since what their verdict rests on is another now: {last}" in again.output.replace("\n", " ")
    assert "that no training reads" not in again.output
    assert last_run(home) == (f"backfill of {last} to {last}", {"summary"})
    assert "all of 18 partitions are up to date" in perennial("status", "delivery_eta").output.replace("\n", " ")


def last_run(home: Home) -> tuple[str, set[str]]:
    """Why the newest run was started, and what it made."""
    with open_instance(home, dict(os.environ)) as instance:
        (run, *_) = instance.get_runs(limit=1)
    return run.tags["perennial/reason"], {key.path[-1] for key in run.asset_selection or ()}
