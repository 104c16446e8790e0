"""Backfill: computes what is not up to date, shows what is blocked, and survives kill -9."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from perennial.settings import Home, home_at
from perennial.stages import DATA
from pipelines.discovery import discover
from resources.instance import open_instance
from resources.stores import open_tables
from tests.cli.conftest import Command

FIRST, LAST = "2024-01-01", "2024-01-04"
SECONDS = (4.0, 14.0)
"""When a backfill is killed: between its first import and its last commit."""


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


def test_status_shows_freshness_and_what_is_behind(perennial: Command, home: Home) -> None:
    perennial("backfill", "delivery_eta", FIRST, FIRST)

    said = perennial("status")

    assert said.code == 0
    assert "to 2024-01-01" in said.output
    assert "none yet" in said.output


def run_backfill(home: Home, *, killed_after: float | None) -> None:
    environment = {**os.environ, **home.environment}
    command = [sys.executable, "-c", "from cli.main import main; main()", "backfill", "delivery_eta", FIRST, LAST]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if killed_after is None:
        assert process.wait() == 0
        return
    deadline = time.monotonic() + killed_after
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_killed_at_five_moments_and_run_again_it_leaves_what_one_clean_run_leaves(
    perennial: Command, home: Home, tmp_path: Path
) -> None:
    clean: Any = home_at(tmp_path / "clean")
    run_backfill(clean, killed_after=None)
    moments = random.Random(7)

    for _ in range(5):
        run_backfill(home, killed_after=moments.uniform(*SECONDS))
    run_backfill(home, killed_after=None)

    assert contents(home) == contents(clean)
    assert statuses(home) <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
