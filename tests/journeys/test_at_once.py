"""At once: backfills, landings and maintenance in several processes over one home lose nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.delivery_eta import delivery_eta
from tests.assets.house import LEAN, House, lowered, open_house, simulate_days
from tests.clock import FixedClock
from tests.journeys.killing import AT, Work, backfill, context, meet_at, side_by_side
from tests.journeys.test_kill import (
    CORRECTED,
    IN_PARTS,
    PLAIN,
    Scene,
    check_no_run_is_left_as_started,
    check_nothing_half_written_is_read,
    correction,
    fresh,
    what_stands,
)

DAY = "2024-01-01"
DELIVERIES = {"first": 1.0, "one": 1.01, "other": 1.02}
"""What each says of every distance, as a part of what the city said."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], Scene]], Scene]:
    return cache(lambda build: build(tmp_path_factory.mktemp("scene")))


def check_ends_as_alone(scene: Scene, root: Path) -> None:
    with ExitStack() as stack:
        house = scene.work.open(root, stack)
        assert check_nothing_half_written_is_read(house) == scene.end
        check_no_run_is_left_as_started(house)


def test_two_backfills_of_one_range_at_once_end_as_one(
    made: Callable[[Callable[[Path], Scene]], Scene], tmp_path: Path
) -> None:
    scene = made(fresh)
    root = scene.place(tmp_path / "home")

    blocked = side_by_side((backfill, (scene.work, root)), (backfill, (scene.work, root)))

    assert blocked == [{}, {}]
    check_ends_as_alone(scene, root)


@pytest.mark.slow
def test_two_landings_of_a_corrected_file_at_once_make_one_revision(
    made: Callable[[Callable[[Path], Scene]], Scene], tmp_path: Path
) -> None:
    scene = made(correction)
    root = scene.place(tmp_path / "home")

    blocked = side_by_side((backfill, (scene.work, root)), (backfill, (scene.work, root)))

    assert blocked == [{}, {}]
    assert {number for name, key, number in scene.end if (name, key) == ("landed", CORRECTED)} == {1, 2}
    check_ends_as_alone(scene, root)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The folder of each of DELIVERIES of DAY."""
    root = tmp_path_factory.mktemp("deliveries")
    for name, scale in DELIVERIES.items():
        simulate_days(root / name, DAY, DAY)
        (file,) = (root / name).rglob("*.parquet")
        pl.read_parquet(file).with_columns(pl.col("distance_km") * scale).write_parquet(file)
    return {name: str(root / name / "world" / "delivery_eta") for name in DELIVERIES}


def delivery_of(folder: str) -> Work:
    return Work(pipeline=PLAIN, days=(DAY, DAY), environment={"DELIVERY_ETA_SOURCE": folder}, limits=LEAN)


def land(root: Path, folder: str, limits: Mapping[str, Any], door: Any = None) -> list[str]:
    """Land DAY from `folder`, through the `door` together with another process; what went wrong."""
    with lowered(limits), open_house(root, clock=FixedClock(AT), DELIVERY_ETA_SOURCE=folder) as house:
        if door is not None:
            meet_at("delivery_eta.landed", door)  # the lock of the table: each has read, and neither has landed
        return [str(error) for error in house.run("landed", keys=DAY).errors]


def landed(house: House) -> dict[int, tuple[str, str]]:
    """By revision of DAY: what is recorded of it, and the content hash of its rows."""
    history = house.tables.history(delivery_eta, "landed")[DAY]
    stands = what_stands(house)
    return {number: (record.status, stands["landed", DAY, number][0]) for number, record in history.items()}


def contents(root: Path, begin: Path | None, delivered: Mapping[str, str], limits: Mapping[str, Any]) -> set[str]:
    """The content hash of the newest revision after each of the two deliveries alone."""
    found = set()
    for name in ("one", "other"):
        home = root / name
        if begin is not None:
            shutil.copytree(begin, home, symlinks=True)
        assert land(home, delivered[name], limits) == []
        with open_house(home) as house:
            revisions = landed(house)
            found.add(revisions[max(revisions)][1])
    return found


def check_a_backfill_ends_it(root: Path, folder: str) -> None:
    """Whatever landed, the source that delivered last is followed to the end."""
    work = delivery_of(folder)
    assert backfill(work, root) == {}
    with ExitStack() as stack:
        house = work.open(root, stack)
        check_nothing_half_written_is_read(house)
        check_no_run_is_left_as_started(house)


@pytest.mark.parametrize("corrects", [pytest.param(False, marks=pytest.mark.slow), True])
def test_two_deliveries_of_one_day_at_one_moment_are_two_revisions(
    delivered: Mapping[str, str], tmp_path: Path, corrects: bool
) -> None:
    begin, root = tmp_path / "begin" if corrects else None, tmp_path / "home"
    if begin is not None:
        assert backfill(delivery_of(delivered["first"]), begin) == {}
        shutil.copytree(begin, root, symlinks=True)
    alone, door = contents(tmp_path / "alone", begin, delivered, {}), context().Barrier(2, timeout=60)

    wrong = side_by_side(*((land, (root, delivered[name], {}, door)) for name in ("one", "other")))

    assert wrong == [[], []]
    with open_house(root) as house:
        revisions = landed(house)
        assert {status for status, _ in revisions.values()} == {"ok"}
        assert len(revisions) == 2 + corrects
        assert {content for _, content in list(revisions.values())[-2:]} == alone
        newest = Path(house.tables.records(delivery_eta, "landed")[DAY].provenance["uri"].removeprefix("file://"))
    check_a_backfill_ends_it(root, str(newest.parent))


def test_of_two_large_deliveries_at_one_moment_one_lands_and_the_other_is_told_to_come_again(
    delivered: Mapping[str, str], tmp_path: Path
) -> None:
    root, door = tmp_path / "home", context().Barrier(2, timeout=60)
    alone = contents(tmp_path / "alone", None, delivered, IN_PARTS)

    wrong = side_by_side(*((land, (root, delivered[name], IN_PARTS, door)) for name in ("one", "other")))

    lost = next(name for name, errors in zip(("one", "other"), wrong, strict=True) if errors)
    assert sum(map(len, wrong)) == 1
    assert "another run landed this partition meanwhile, found revision 1 of other content" in str(wrong)
    with open_house(root) as house:
        assert [status for status, _ in landed(house).values()] == ["ok"]
        files = {path.parent.name for path in Path(house.home.lake, "delivery_eta", "landed").rglob("*.parquet")}
        assert files == {"revision=1"}
    assert land(root, delivered[lost], IN_PARTS) == []
    with open_house(root) as house:
        assert [status for status, _ in landed(house).values()] == ["ok", "ok"]
        assert {content for _, content in landed(house).values()} == alone
    check_a_backfill_ends_it(root, delivered[lost])
