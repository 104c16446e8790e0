"""At once: backfills and landings in several processes over one home lose nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.journeys.killing import backfill, side_by_side
from tests.journeys.test_kill import (
    CORRECTED,
    Scene,
    check_no_run_is_left_as_started,
    check_nothing_half_written_is_read,
    correction,
    fresh,
    what_stands,
)


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
