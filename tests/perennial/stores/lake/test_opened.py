"""Opened: a table is used again while its log ends where it did, and by one at a time."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import polars as pl
import pytest

from perennial.stores.lake import opened
from perennial.stores.lake.lakehouse import Lakehouse

TABLE = "eta/landed"
A = "2024-01-01"


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "_kept", {})


def write(root: Path, *values: int) -> int:
    rows = pl.DataFrame({"partition": [A] * len(values), "value": values})
    return Lakehouse(root=str(root)).overwrite(TABLE, rows, partitions=[A])


def read(root: Path) -> list[int]:
    return Lakehouse(root=str(root)).read(TABLE, partitions=[A])["value"].to_list()


def by_another_process(root: Path, *values: int) -> int:
    kept = dict(opened._kept)
    opened._kept.clear()
    version = write(root, *values)
    opened._kept.clear()
    opened._kept.update(kept)
    return version


def test_what_was_read_is_read_again_without_opening_it(tmp_path: Path) -> None:
    write(tmp_path, 1)
    path = str(tmp_path / TABLE)

    table = opened.take(path)

    assert table is not None
    assert opened.take(path) is None, "it is taken: two who change one table would see each other's half"
    opened.keep(path, table)
    assert read(tmp_path) == [1]
    assert opened.take(path) is table


def test_the_commit_of_another_is_seen(tmp_path: Path) -> None:
    write(tmp_path, 1)
    assert read(tmp_path) == [1]

    by_another_process(tmp_path, 2)

    assert read(tmp_path) == [2]
    by_another_process(tmp_path, 3)
    write(tmp_path, 4)
    assert read(tmp_path) == [4]


def test_a_table_that_was_moved_away_and_made_anew_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    version = write(tmp_path, 1)
    shutil.move(tmp_path / "eta", tmp_path / "aside")

    assert by_another_process(tmp_path, 2) == version
    assert read(tmp_path) == [2]

    shutil.rmtree(tmp_path / "eta")
    assert opened.take(str(tmp_path / TABLE)) is None


def test_one_who_scans_keeps_seeing_what_there_was(tmp_path: Path) -> None:
    write(tmp_path, 1)
    scanned = Lakehouse(root=str(tmp_path)).scan(TABLE, partitions=[A])

    write(tmp_path, 2)

    assert scanned.collect()["value"].to_list() == [1]


def test_the_first_of_too_many_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "MOST", 2)
    roots = [tmp_path / str(number) for number in range(3)]
    for number, root in enumerate(roots):
        write(root, number)

    assert [opened.take(str(root / TABLE)) is None for root in roots] == [True, False, False]


def test_readers_and_writers_in_threads_never_see_half_a_commit(tmp_path: Path) -> None:
    """Each commit holds one value 50 times over. Writers of a table wait for each other, readers do not."""
    write(tmp_path, *[0] * 50)
    turn = Lock()

    def work(number: int) -> list[int]:
        if number % 3:
            return read(tmp_path)
        with turn:
            return [write(tmp_path, *[number] * 50)] * 50

    with ThreadPoolExecutor(6) as threads:
        seen = list(threads.map(work, range(60)))

    assert all(len(values) == 50 and len(set(values)) == 1 for values in seen)
