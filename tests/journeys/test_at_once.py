"""At once: backfills, landings, maintenance and trainings in several processes over one home lose nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from perennial import Windows
from perennial.maintenance import Keep
from perennial.settings import home_at
from perennial.stores.bundles import BundleStore
from perennial.stores.maintenance import LakeCare
from perennial.stores.windows import collect_training_set
from pipelines.delivery_eta import delivery_eta
from resources.stores import open_tables
from tests.journeys.killing import backfill, side_by_side
from tests.journeys.test_kill import (
    CORRECTED,
    DAYS,
    Scene,
    check_no_run_is_left_as_started,
    check_nothing_half_written_is_read,
    correction,
    fresh,
    what_stands,
)

SHORT = replace(delivery_eta, windows=Windows(train=1, validation=1, test=1))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], Scene]], Scene]:
    return cache(lambda build: build(tmp_path_factory.mktemp("scene")))


def check_ends_as_alone(scene: Scene, root: Path) -> None:
    with ExitStack() as stack:
        house = scene.work.open(root, stack)
        assert what_stands(house) == scene.end
        check_nothing_half_written_is_read(house)
        check_no_run_is_left_as_started(house)


def test_two_backfills_of_one_range_at_once_end_as_one(
    made: Callable[[Callable[[Path], Scene]], Scene], tmp_path: Path
) -> None:
    scene, root = made(fresh), tmp_path / "home"

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


def _maintain(root: Path, times: int) -> int:
    home = home_at(root)
    keep = Keep(small_files=2, old_versions=timedelta(days=1))
    care = LakeCare(tables=open_tables(home), bundles=BundleStore(home.bundles), keep=keep)
    return sum(bool(care.maintain(SHORT.name, dry_run=False).done) for _ in range(times))


def _train(root: Path, times: int) -> set[str]:
    tables = open_tables(home_at(root))
    return {collect_training_set(tables, SHORT, DAYS[1]).training_set.content_hash for _ in range(times)}


@pytest.mark.slow
def test_maintenance_beside_a_backfill_and_a_training_loses_nothing(
    made: Callable[[Callable[[Path], Scene]], Scene], tmp_path: Path
) -> None:
    """The training is as of a day before the correction, so that it finds the same rows all along."""
    scene = made(correction)
    plain = replace(scene.work, pipeline="pipelines.delivery_eta:delivery_eta")
    clean, root = tmp_path / "clean", tmp_path / "home"
    shutil.copytree(scene.begin or tmp_path, clean, symlinks=True)
    assert backfill(plain, clean) == {}
    shutil.copytree(scene.begin or tmp_path, root, symlinks=True)
    before = _train(clean, 1)

    blocked, maintained, found = side_by_side((backfill, (plain, root)), (_maintain, (root, 8)), (_train, (root, 30)))

    assert (blocked, found) == ({}, before)
    assert maintained
    with ExitStack() as stack:
        end = what_stands(plain.open(clean, stack))
    check_ends_as_alone(replace(scene, work=plain, end=end), root)
