"""Kill: a backfill that dies at any moment is run again to the same content, and leaves no run as started."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from rich.console import Console

from cli.backfill import backfill_range
from cli.session import Session
from perennial.graph.stages import DATA
from perennial.settings import home_at
from pipelines.discovery import Discovered
from resources.runs import UNFINISHED, end_lost_runs
from tests.assets.house import House, open_house, simulate_days

SEED = 20_240_229
TELL_AT_A_MOMENT = """
import os, sys

first, last, moment = sys.argv[1], sys.argv[2], int(sys.argv[3])
home, seen = os.environ["PERENNIAL_HOME"], 0

def count(event, arguments):
    global seen
    if arguments and str(arguments[0]).startswith(home):
        seen += 1
        if seen == moment:
            os.write(1, b"now")

from rich.console import Console

from cli.backfill import backfill_range
from cli.session import open_session

with open_session() as session:
    sys.addaudithook(count)
    blocked = backfill_range(
        session, session.pipeline("delivery_eta"), first, last, everything=False, console=Console(quiet=True)
    )
os.write(2, b"touched %d\\n" % seen)
sys.exit(bool(blocked))
"""
"""`perennial backfill`, which tells when it has touched its home so many times (a file opened, a database
connected, a folder made), and goes on."""


@dataclass(frozen=True, kw_only=True)
class City:
    """The files of some days, and how one clean backfill of them ended."""

    folder: Path
    days: tuple[str, str]
    moments: int
    """How often that touched its home."""
    hashes: dict[str, dict[str, str]]


def start(root: Path, folder: Path, days: tuple[str, str], moment: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **home_at(root).environment, "DELIVERY_ETA_SOURCE": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", TELL_AT_A_MOMENT, *days, str(moment)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def count_moments(root: Path, folder: Path, days: tuple[str, str]) -> int:
    """Backfill to the end; return how often it touched its home."""
    process = start(root, folder, days, -1)
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()
    return int(said.decode().rpartition("touched ")[2])


def kill(root: Path, city: City, moment: int) -> None:
    with start(root, city.folder, city.days, moment) as process:
        assert process.stdout is not None
        told = b""
        while not told.endswith(b"now"):
            told += (byte := process.stdout.read(1))
            assert byte, "the backfill ended before its moment came"
        process.kill()


def run_again(house: House, city: City) -> None:
    """What `perennial backfill` does, in this process, which has imported everything already."""
    end_lost_runs(house.instance)
    session = Session(
        home=house.home,
        instance=house.instance,
        definitions=house.definitions,
        discovered=Discovered(pipelines=(house.pipeline,), broken=()),
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**house.home.environment, "DELIVERY_ETA_SOURCE": str(city.folder)}.items():
            patch.setenv(name, value)
        assert backfill_range(session, house.pipeline, *city.days, everything=False, console=Console(quiet=True)) == {}


def backfilled(root: Path, days: tuple[str, str]) -> City:
    simulate_days(root / "city", *days)
    folder = root / "city" / "world" / "delivery_eta"
    moments = count_moments(root / "clean", folder, days)
    with open_house(root / "clean") as house:
        return City(folder=folder, days=days, moments=moments, hashes=house.hashes())


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return backfilled(tmp_path_factory.mktemp("kill"), ("2024-01-01", "2024-01-04"))


def check_as_if_nothing_had_happened(house: House, city: City) -> None:
    assert house.hashes() == city.hashes
    for name in DATA:
        records = house.tables.records(house.pipeline, name)
        assert {key: (r.status, r.revision) for key, r in records.items()} == dict.fromkeys(
            city.hashes[name], ("ok", 1)
        )
        if name in ("landed", "accepted", "quarantined"):
            assert {key: r.content_hash for key, r in records.items()} == city.hashes[name]


def check_no_run_is_left_as_started(house: House) -> None:
    assert house.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)) == []
    assert end_lost_runs(house.instance) == []
    assert house.instance.get_runs()[0].status is dg.DagsterRunStatus.SUCCESS


def moments_in(city: City, count: int) -> Iterator[int]:
    chance = random.Random(SEED)
    return (chance.randint(1, city.moments * 9 // 10) for _ in range(count))


@pytest.mark.parametrize("number", range(5))
def test_a_backfill_killed_at_a_random_moment_and_run_again_has_the_content_of_a_clean_one(
    city: City, tmp_path: Path, number: int
) -> None:
    moment = list(moments_in(city, 5))[number]

    kill(tmp_path / "home", city, moment)
    with open_house(tmp_path / "home") as house:
        run_again(house, city)

        check_as_if_nothing_had_happened(house, city)
        check_no_run_is_left_as_started(house)


@pytest.mark.slow
def test_a_backfill_killed_ten_times_in_a_row_ends_as_a_clean_one(tmp_path: Path) -> None:
    city = backfilled(tmp_path, ("2024-01-01", "2024-03-05"))

    for moment in moments_in(city, 10):
        kill(tmp_path / "home", city, max(1, moment // 4))
    with open_house(tmp_path / "home") as house:
        run_again(house, city)

        check_as_if_nothing_had_happened(house, city)
        check_no_run_is_left_as_started(house)
