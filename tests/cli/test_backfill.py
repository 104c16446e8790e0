"""Backfill: computes what is not up to date, shows what is blocked, and survives kill -9."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from cli.backfill import UNFINISHED
from perennial.settings import Home, home_at
from perennial.stages import DATA
from pipelines.discovery import discover
from resources.instance import open_instance
from resources.stores import open_tables
from tests.cli.conftest import Command

FIRST, LAST = "2024-01-01", "2024-01-04"


def file_of(home: Home, day: str) -> Path:
    return home.root / "world" / "delivery_eta" / f"orders_{day}.parquet"


def contents(home: Home) -> dict[str, dict[str, str]]:
    tables, pipeline = open_tables(home), discover().named("delivery_eta")
    return {name: {key: r.content_hash for key, r in tables.records(pipeline, name).items()} for name in DATA}


def statuses(home: Home) -> set[dg.DagsterRunStatus]:
    with open_instance(home, dict(os.environ)) as instance:
        return {run.status for run in instance.get_runs()}


def test_an_empty_folder_is_simulated_and_a_second_backfill_computes_nothing(perennial: Command, home: Home) -> None:
    said = perennial("backfill", "delivery_eta", FIRST, LAST)

    assert said.code == 0
    assert "4 of 4 partitions to compute" in said.output
    assert "4 partitions ok, 0 blocked" in said.output
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
    assert "3 partitions ok, 1 blocked" in said.output
    assert "is not a parquet file" in said.output
    file_of(home, "2024-01-02").write_bytes(good)
    mended = perennial("backfill", "delivery_eta", FIRST, LAST)
    assert mended.code == 0
    assert "1 of 4 partitions to compute" in mended.output


def test_a_simulation_that_was_killed_is_gone_on_with(perennial: Command, home: Home) -> None:
    perennial("simulate", "--until", FIRST)
    (file_of(home, FIRST).parent / UNFINISHED).touch()

    said = perennial("backfill", "delivery_eta", FIRST, LAST)

    assert said.code == 0
    assert "4 partitions ok" in said.output
    assert not (file_of(home, FIRST).parent / UNFINISHED).exists()


def test_a_day_that_is_missing_is_named_and_not_made_up(perennial: Command, home: Home) -> None:
    perennial("simulate", "--until", FIRST)

    said = perennial("backfill", "delivery_eta", FIRST, "2024-01-02")

    assert said.code == 1
    assert "1 partitions ok, 1 blocked" in said.output
    assert not file_of(home, "2024-01-02").exists()


def test_status_shows_freshness_and_what_is_behind(perennial: Command, home: Home) -> None:
    perennial("backfill", "delivery_eta", FIRST, FIRST)

    said = perennial("status")

    assert said.code == 0
    assert "to 2024-01-01" in said.output
    assert "none yet" in said.output


def run_backfill(home: Home, *, killed_after: float | None = None) -> float:
    """Run the command to its end, or kill it; the seconds that it took."""
    environment = {**os.environ, **home.environment}
    command = [sys.executable, "-c", "from cli.main import main; main()", "backfill", "delivery_eta", FIRST, LAST]
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment)
    while killed_after is not None and time.monotonic() < began + killed_after and process.poll() is None:
        time.sleep(0.01)
    if killed_after is None:
        assert process.wait() == 0
    else:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return time.monotonic() - began


@pytest.mark.slow
def test_killed_at_five_moments_and_run_again_it_leaves_what_one_clean_run_leaves(
    perennial: Command, tmp_path: Path
) -> None:
    clean = home_at(tmp_path / "clean")
    whole = run_backfill(clean)
    chance = random.Random(7)

    for number in range(5):
        home = home_at(tmp_path / f"killed-{number}")
        run_backfill(home, killed_after=chance.uniform(0.25, 0.95) * whole)
        run_backfill(home)

        assert contents(home) == contents(clean)
        assert statuses(home) <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
