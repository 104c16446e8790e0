"""Kill: a backfill that dies at any moment is run again to the same content, and leaves no run as started."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from perennial.content import content_hash
from perennial.graph.lineage import steps_of
from resources.runs import UNFINISHED, end_lost_runs
from tests.assets.house import LEAN, House, open_house, simulate_days
from tests.journeys.killing import RIDES, Work, count_moments, kill
from tests.pushes import an_event
from tests.serving.conftest import Running, running

SEED = 20_240_229
KILLS = 50
PLAIN, ENTITIES = "pipelines.delivery_eta:delivery_eta", "tests.journeys.killing:ENTITIES"
DAYS, CORRECTED = ("2024-01-01", "2024-01-03"), "2024-01-02"
IN_PARTS = {
    "perennial.stores.sources.content:IN_MEMORY": 10,
    "perennial.stores.lake.large:LARGE_ROWS": 100,
    "perennial.stores.lake.tables:PART_ROWS": 97,
    "assets.range_run:MAX_ROWS": 1,
}
"""Every file is read when its rows are asked for, and every partition goes through in parts."""

Stand = Mapping[tuple[str, str, int], tuple[str, str]]
"""By table, partition and revision: the hash of the rows that a reader gets, and the recorded status."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A backfill that is to be killed, the home in which it begins, and how one that nobody killed ended."""

    work: Work
    begin: Path
    moments: int
    """How often the backfill touches its home."""
    end: Stand

    def place(self, root: Path) -> Path:
        shutil.copytree(self.begin, root, symlinks=True)
        return root


def what_stands(house: House) -> Stand:
    tables, pipeline = house.tables, house.pipeline
    return {
        (name, key, number): (content_hash(tables.read(pipeline, name, {key: number})), record.status)
        for name in steps_of(pipeline)
        for key, revisions in tables.history(pipeline, name).items()
        for number, record in revisions.items()
    }


def check_nothing_half_written_is_read(house: House) -> Stand:
    """Whatever counts as up to date gives a reader the very rows that were recorded; what stands."""
    tables, pipeline = house.tables, house.pipeline
    standing, stand = tables.standing(pipeline), what_stands(house)
    for (name, key, number), (found, _) in stand.items():
        if standing.problem_with(name, key, number) is None:
            assert found == tables.history(pipeline, name)[key][number].content_hash, (name, key, number)
    return stand


def check_no_run_is_left_as_started(house: House) -> None:
    assert house.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)) == []
    assert end_lost_runs(house.instance) == []


def scene(root: Path, work: Work) -> Scene:
    """Let the work be done once, in the home `root / begin`, by a process that nobody kills."""
    begin, clean = root / "begin", root / "clean"
    with ExitStack() as stack:
        work.open(begin, stack)  # with Dagster's databases, at least
    shutil.copytree(begin, clean, symlinks=True)
    moments = count_moments(work, clean)
    with ExitStack() as stack:
        return Scene(work=work, begin=begin, moments=moments, end=what_stands(work.open(clean, stack)))


def files(root: Path, *, corrected: bool = False) -> dict[str, str]:
    """The city's files of DAYS, of one day in a later version."""
    simulate_days(root, *DAYS)
    folder = root / "world" / "delivery_eta"
    if corrected:
        file = next(folder.glob(f"*{CORRECTED}*"))
        pl.read_parquet(file).with_columns(pl.col("distance_km") * 1.01).write_parquet(file)
    return {"DELIVERY_ETA_SOURCE": str(folder)}


def fresh(root: Path, pipeline: str = PLAIN, limits: Mapping[str, float] | None = None) -> Scene:
    return scene(root, Work(pipeline=pipeline, days=DAYS, environment=files(root / "city"), limits=limits or {}))


def entities(root: Path) -> Scene:
    return fresh(root, ENTITIES, LEAN)


def in_parts(root: Path) -> Scene:
    return fresh(root, limits=LEAN | IN_PARTS)


def correction(root: Path) -> Scene:
    """Entities' windows of all days have been computed when another version of one day's file arrives."""
    first = Work(pipeline=ENTITIES, days=DAYS, environment=files(root / "city"), limits=LEAN)
    count_moments(first, root / "begin")
    environment = files(root / "later", corrected=True)
    return scene(root, Work(pipeline=ENTITIES, days=DAYS, environment=environment, limits=LEAN))


def pushed(root: Path) -> Scene:
    """Events were pushed for three hours, and for one of them more came when it had landed."""
    work = Work(pipeline="tests.journeys.killing:RIDES", days=("2024-01-01T00", "2024-01-01T02"), limits=LEAN)
    with open_house(root / "begin", pipeline=RIDES) as house:
        house.sources.signatures(RIDES, RIDES.time.keys(*work.days))
        with running(house.home) as server:
            push(server, [an_event(number) for number in range(300)])
        count_moments(work, root / "begin")
        with running(house.home) as server:
            push(server, [an_event(3, riders=2)])
    return scene(root, work)


def push(server: Running, events: list[dict[str, Any]]) -> None:
    answer = server.client.post("/v1/sources/rides/events", json={"events": events})
    assert answer.status_code == 202, answer.text


SCENES: Mapping[str, Callable[[Path], Scene]] = {
    "fresh": fresh, "entities": entities, "in parts": in_parts, "correction": correction, "pushed": pushed,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Scene]:
    """Make a scene by its name, once."""
    return cache(lambda name: SCENES[name](tmp_path_factory.mktemp("scene")))


def kill_and_run_again(scene: Scene, root: Path, *, number: int) -> None:
    chance = random.Random(SEED + number)
    moment, after = chance.randint(1, scene.moments * 9 // 10), chance.choice([0.0, 0.01, 0.1]) * chance.random()

    kill(scene.work, scene.place(root), moment, after)

    with ExitStack() as stack:
        house = scene.work.open(root, stack)
        check_nothing_half_written_is_read(house)
        assert scene.work.run(house) == {}
        assert check_nothing_half_written_is_read(house) == scene.end
        check_no_run_is_left_as_started(house)


@pytest.mark.parametrize("number", range(2))
def test_a_backfill_killed_at_a_random_moment_and_run_again_has_the_content_of_a_clean_one(
    made: Callable[[str], Scene], tmp_path: Path, number: int
) -> None:
    kill_and_run_again(made("fresh"), tmp_path / "home", number=number)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(KILLS))
def test_of_fifty_kills_none_loses_or_halves_anything(
    made: Callable[[str], Scene], tmp_path: Path, number: int
) -> None:
    name = list(SCENES)[number % len(SCENES)]

    kill_and_run_again(made(name), tmp_path / "home", number=number)


@pytest.mark.slow
def test_a_backfill_killed_ten_times_in_a_row_ends_as_a_clean_one(made: Callable[[str], Scene], tmp_path: Path) -> None:
    scene, chance = made("entities"), random.Random(SEED)
    root = scene.place(tmp_path / "home")

    for _ in range(10):
        kill(scene.work, root, chance.randint(1, scene.moments // 4), 0.0)
    with ExitStack() as stack:
        house = scene.work.open(root, stack)
        assert scene.work.run(house) == {}
        assert what_stands(house) == scene.end
        check_no_run_is_left_as_started(house)
