"""Care at once: `perennial maintain`, again and again, beside a backfill and trainings in processes of their own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli.maintain import maintain
from perennial.content import content_hash
from perennial.graph.lineage import steps_of
from perennial.graph.stages import training_assets
from perennial.stores.lake.slots import SlotWriter
from resources.failures import is_refused
from tests.assets.house import LEAN, House, open_house, simulate_days
from tests.clock import FixedClock
from tests.journeys.killing import AT, TRAINED, Work, backfill, context, side_by_side
from tests.journeys.test_kill import (
    Stand,
    check_no_run_is_left_as_started,
    check_nothing_half_written_is_read,
    what_stands,
)

OLD, NEW = ("2024-01-01", "2024-01-07"), ("2024-01-07", "2024-01-09")
AS_OF, CORRECTED = "2024-01-06", "2024-01-07"
"""Trainings read five old days up to AS_OF, the backfill writes days behind it."""
SCATTERED = {
    "perennial.stores.sources.content:IN_MEMORY": 10,
    "perennial.stores.lake.large:LARGE_ROWS": 100,
    "perennial.stores.lake.tables:PART_ROWS": 30,
    "assets.range_run:MAX_ROWS": 1,
}
"""What the backfill writes has so many small files that it is compacted at once."""
DAYS_OLD = 60
"""Older than the versions that are kept."""
STAMPS = ("timestamp", "modificationTime", "deletionTimestamp")
STRAY = "partition=2024-01-02/revision=1/part-killed.parquet"

Trained = tuple[str, ...]
"""The content hash of a training set, and the bundle that came of it."""


@dataclass(frozen=True, kw_only=True)
class Alone:
    """A home to begin with, the backfill, and how it and the training end where nobody else is at work."""

    begin: Path
    work: Work
    stand: Stand
    trained: Trained


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    root = tmp_path_factory.mktemp("alone")
    begin, clean = root / "begin", root / "clean"
    simulate_days(root / "old", *OLD)
    simulate_days(root / "new", OLD[0], NEW[1])
    (file,) = (root / "new").rglob(f"*{CORRECTED}*")
    pl.read_parquet(file).with_columns(pl.col("distance_km") * 1.01).write_parquet(file)
    first = work(root / "old", OLD)
    assert backfill(first, begin) == {}
    with ExitStack() as stack:
        house = first.open(begin, stack)
        scatter(house)
        grow_old(Path(house.home.lake))
        scatter(house)
    shutil.copytree(begin, clean, symlinks=True)
    then = work(root / "new", NEW)
    (trained,) = train(clean, None)
    assert backfill(then, clean) == {}
    with ExitStack() as stack:
        return Alone(begin=begin, work=then, stand=what_stands(then.open(clean, stack)), trained=trained)


def work(source: Path, days: tuple[str, str]) -> Work:
    environment = {"DELIVERY_ETA_SOURCE": str(source / "world" / "delivery_eta")}
    limits = LEAN if days == OLD else LEAN | SCATTERED
    return Work(pipeline="tests.journeys.killing:TRAINED", days=days, environment=environment, limits=limits)


def scatter(house: House) -> None:
    """Write each slot again, to the same rows in many small files, so that the files that held it are old ones."""
    tables, pipeline = house.tables, house.pipeline
    for name in steps_of(pipeline):
        for key, record in tables.records(pipeline, name).items():
            rows = tables.read(pipeline, name, [key])
            with SlotWriter(tables.lakehouse, pipeline.table(name), key, record.revision) as written:
                for part in rows.iter_slices(max(1, rows.height // 10)):
                    written.add(part)
                written.commit()


def grow_old(lake: Path) -> None:
    """Let all that the lake's tables hold, and one file that a killed writer left, be from DAYS_OLD days ago."""
    (lake / TRAINED.name / "accepted" / STRAY).write_bytes(b"half a file")
    seconds = DAYS_OLD * 86_400
    for commit in lake.rglob("_delta_log/*.json"):
        actions = [json.loads(line) for line in commit.read_text().splitlines()]
        for said in (said for action in actions for said in action.values()):
            said.update({stamp: said[stamp] - seconds * 1_000 for stamp in STAMPS if stamp in said})
        commit.write_text("\n".join(map(json.dumps, actions)) + "\n")
    for path in lake.rglob("*"):
        os.utime(path, (time.time() - seconds,) * 2)


def train(root: Path, over: Any) -> list[Trained]:
    """Train as of AS_OF until all is `over`, once at least; what came of each training."""
    found: list[Trained] = []
    with open_house(root, pipeline=TRAINED, clock=FixedClock(AT)) as house:
        while not found or not over.is_set():
            result = house.run(*training_assets(TRAINED), keys=AS_OF)
            assert result.success or is_refused(result.errors), result.errors
            rows = house.tables.read(TRAINED, "training_set", [AS_OF])
            found.append((content_hash(rows), *sorted(path.name for path in house.home.bundles.iterdir())))
            if over is None:
                break
    return found


def care(root: Path, over: Any) -> list[str]:
    """Maintain the home until all is `over`, once at least; what each told."""
    told: list[str] = []
    with open_house(root) as house:
        os.environ.update(house.home.environment, COLUMNS="300")
        while not told or not over.is_set():
            with contextlib.redirect_stdout(io.StringIO()) as said:
                maintain(pipeline="", dry_run=False)
            told.append(said.getvalue())
    return told


def backfill_to_the_end(work: Work, root: Path, over: Any) -> dict[str, str]:
    """The backfill; then all is `over`, however it ended."""
    try:
        return backfill(work, root)
    finally:
        over.set()


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(2))
def test_maintenance_beside_a_backfill_and_trainings_changes_nothing_of_either(
    alone: Alone, tmp_path: Path, attempt: int
) -> None:
    root, over = tmp_path / "home", context().Event()
    shutil.copytree(alone.begin, root, symlinks=True)

    blocked, told, trained = side_by_side(
        (backfill_to_the_end, (alone.work, root, over)), (care, (root, over)), (train, (root, over))
    )

    assert blocked == {}
    assert set(trained) == {alone.trained}
    assert any("compaction" in said for said in told)
    assert any("old versions" in said for said in told)
    assert not (root / "lake" / TRAINED.name / "accepted" / STRAY).exists()
    with ExitStack() as stack:
        house = alone.work.open(root, stack)
        assert check_nothing_half_written_is_read(house) == alone.stand
        check_no_run_is_left_as_started(house)
