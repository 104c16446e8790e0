"""Embedded: one connection is taken up again, but never in a forked process, and never to another file."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest

from perennial.stores.operations import Operations


def path_of(operations: Operations) -> Path:
    return Path(str(operations.url.database))


def connection_of(operations: Operations) -> object:
    """The connection itself: the next one could have the number of one that is gone."""
    with operations.reading() as transaction:
        return transaction.connection.dbapi_connection


def note(operations: Operations, text: str, at: datetime) -> None:
    operations.append_decision("eta", "not_now", "2024-01", text, {}, at=at)


def noted(operations: Operations) -> list[str]:
    return sorted(entry.reason for entry in operations.ledger())


def test_a_connection_is_taken_up_again_and_the_log_is_left_to_it(sqlite: Operations, at: datetime) -> None:
    first = connection_of(sqlite)
    note(sqlite, "early", at)

    assert connection_of(sqlite) == first
    assert path_of(sqlite).with_suffix(".db-wal").stat().st_size, "closing it would have brought it into the file"


def test_each_of_two_transactions_at_once_has_a_connection(sqlite: Operations, at: datetime) -> None:
    with sqlite.reading() as one:
        note(sqlite, "early", at)
        assert connection_of(sqlite) != one.connection.dbapi_connection

    assert noted(sqlite) == ["early"]


def test_closed_it_is_one_file_with_everything_in_it(sqlite: Operations, at: datetime) -> None:
    note(sqlite, "early", at)

    sqlite.close()

    assert [path.name for path in path_of(sqlite).parent.glob("operations.db*") if path.is_file()] == ["operations.db"]
    assert noted(sqlite) == ["early"]


def test_one_that_is_forgotten_is_closed(tmp_path: Path) -> None:
    operations = Operations(f"sqlite:///{tmp_path}/operations.db")
    operations.migrate()
    assert (tmp_path / "operations.db-wal").exists()

    del operations

    assert not (tmp_path / "operations.db-wal").exists()


def test_a_database_that_was_moved_away_and_made_anew_is_the_new_one(sqlite: Operations, at: datetime) -> None:
    note(sqlite, "old", at)
    path = path_of(sqlite)
    aside = path.parent / "aside"
    aside.mkdir()
    for file in path.parent.glob("operations.db*"):
        file.rename(aside / file.name)

    sqlite.migrate()
    note(sqlite, "new", at)

    assert noted(sqlite) == ["new"]
    moved = Operations(f"sqlite:///{aside}/operations.db")
    assert noted(moved) == ["old"]


def test_a_forked_process_and_its_parent_lose_nothing_of_each_other(sqlite: Operations, at: datetime) -> None:
    """Whatever one closes while the other lives: SQLite keeps its locks by process, which a fork does not copy."""
    note(sqlite, "before", at)
    first, (reading, writing) = connection_of(sqlite), os.pipe()
    child = os.fork()
    if not child:
        mine = connection_of(sqlite)
        note(sqlite, "child 1", at)
        os.read(reading, 1)
        for number in (2, 3):
            note(sqlite, f"child {number}", at)
        os._exit(int(mine == first))

    for number in (1, 2):
        note(sqlite, f"parent {number}", at)
    sqlite.close()
    os.write(writing, b".")
    note(sqlite, "parent 3", at)

    assert os.waitpid(child, 0)[1] == 0
    assert noted(sqlite) == ["before", *(f"{who} {n}" for who in ("child", "parent") for n in (1, 2, 3))]


def test_what_another_commits_is_seen(sqlite: Operations, at: datetime) -> None:
    note(sqlite, "one", at)
    other = Operations(str(sqlite.url))
    note(other, "two", at)

    assert noted(sqlite) == ["one", "two"]
    other.close()
    assert noted(sqlite) == ["one", "two"]


def test_a_failed_transaction_leaves_nothing_to_the_next(sqlite: Operations, at: datetime) -> None:
    note(sqlite, "one", at)
    secret = sqlite.secret()

    def fail() -> None:
        with sqlite.writing("eta") as transaction:
            transaction.exec_driver_sql("DELETE FROM settings")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    note(sqlite, "two", at)
    assert noted(sqlite) == ["one", "two"]
    assert sqlite.secret() == secret
