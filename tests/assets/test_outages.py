"""Outages: a source that cannot be seen says nothing of its content, so that what landed of it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.assets.house import House, copy_of, open_house, simulate_days

FIRST, AWAY, LAST = "2024-01-01", "2024-01-02", "2024-01-03"
ROWS = ("landed", "accepted", "quarantined", "partials", "aggregates", "features", "labels")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three days that landed."""
    root = tmp_path_factory.mktemp("outages") / "home"
    with open_house(root) as house:
        simulate_days(root, FIRST, LAST)
        assert house.run(*ROWS, keys=(FIRST, LAST)).success
    return root


@pytest.fixture
def house(template: Path, tmp_path: Path) -> Iterator[House]:
    with copy_of(template, tmp_path / "home") as house:
        yield house


def vanish(file: Path) -> None:
    file.unlink()


def refuse(file: Path) -> None:
    """Whoever opens it gets an error of the system, root included."""
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("fail", [vanish, refuse])
def test_a_file_that_cannot_be_seen_is_red_and_leaves_what_landed(house: House, fail: Callable[[Path], None]) -> None:
    before = house.hashes(ROWS)
    house.rewrite(FIRST, pl.col("distance_km") * 1.01)
    fail(house.file(AWAY))

    result = house.run(*ROWS, keys=(FIRST, LAST))

    assert not result.success
    found = house.evaluations("landed", "schema_is_known", result.run_id)
    assert [key for key, each in found.items() if not each.passed] == [AWAY]
    assert list(house.tables.history(house.pipeline, "landed")[AWAY]) == [1]
    assert {name: table[AWAY] for name, table in house.hashes(ROWS).items()} == {
        name: table[AWAY] for name, table in before.items()
    }
    assert house.tables.standing(house.pipeline).problem_with("features", AWAY) is None
    assert house.tables.records(house.pipeline, "features")[FIRST].revision == 2, "its neighbour went all the way"


def test_a_folder_that_is_not_there_takes_nothing_away(house: House) -> None:
    folder = house.file(AWAY).parent
    folder.rename(folder.with_name("unmounted"))

    result = house.run("landed", keys=(FIRST, LAST))

    assert not result.success
    assert {key: list(each) for key, each in house.tables.history(house.pipeline, "landed").items()} == {
        FIRST: [1], AWAY: [1], LAST: [1],
    }  # fmt: skip


def test_the_run_says_at_its_end_what_could_not_be_seen(house: House) -> None:
    vanish(house.file(AWAY))

    result = house.run(*ROWS, keys=(FIRST, LAST))

    assert {error.step.rpartition("__")[2] for error in result.errors} == {"features", "labels"}
    for error in result.errors:
        assert f"1 of 3 partitions are blocked: {AWAY} (" in str(error)


def test_what_was_blocked_before_an_outage_keeps_its_reason(house: House) -> None:
    house.file(AWAY).write_bytes(b"<html>503</html>")
    assert not house.run("landed", keys=(AWAY, AWAY)).success
    vanish(house.file(AWAY))

    assert not house.run("landed", keys=(AWAY, AWAY)).success

    record = house.tables.records(house.pipeline, "landed")[AWAY]
    assert record.revision == 2
    assert "an HTML page" in str(record.reason)
