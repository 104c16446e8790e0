"""The database itself: its migrations, its instants, several processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from perennial.errors import PerennialError
from perennial.stores.operations import Operations, tables
from perennial.stores.operations.database import MIGRATIONS

TABLES = {"partitions", "versions", "dossiers", "routes", "ledger", "feedback", "alerts", "settings"}


def test_the_migrations_make_the_tables_that_the_code_uses(operations: Operations) -> None:
    with operations.reading() as transaction:
        context = MigrationContext.configure(transaction, opts={"compare_type": True})

        assert compare_metadata(context, tables.metadata) == []
        assert set(sa.inspect(transaction).get_table_names()) == {*TABLES, "alembic_version"}


def test_the_newest_migration_is_the_one_that_is_looked_for(operations: Operations) -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == tables.REVISION


def test_migrating_again_keeps_everything(operations: Operations, at: datetime) -> None:
    operations.append_decision("eta", "not_now", "2024-01", "too early", {}, at=at)

    operations.migrate()

    assert len(operations.ledger()) == 1


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    operations = Operations(f"sqlite:///{tmp_path}/a%20b/new/operations.db")

    operations.migrate()

    assert operations.ledger() == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "garbage",
        "mysql://me:secret@host/db",
        "postgresql+asyncpg://host/db",
        "postgresql://me:secret@host:port/db",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_another_kind_of_database_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(PerennialError, match="no operations database is known at this address") as refused:
        Operations(url)

    assert "secret" not in str(refused.value)


def test_postgres_needs_no_driver_named() -> None:
    assert Operations("postgresql://me@host/db").url.drivername == "postgresql+psycopg2"


def test_readers_of_sqlite_never_wait_for_a_writer(sqlite: Operations, at: datetime) -> None:
    with sqlite.writing("eta"):
        assert sqlite.routes() == {}
    with sqlite.reading() as transaction:
        assert transaction.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_an_instant_comes_back_in_utc(operations: Operations) -> None:
    local = datetime(2024, 4, 1, 14, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))

    operations.append_decision("eta", "not_now", "2024-01", "too early", {}, at=local)

    found = operations.ledger()[0].at
    assert found == local
    assert found.utcoffset() == timedelta(0)


def test_a_time_without_timezone_is_refused(operations: Operations) -> None:
    naive = datetime(2024, 4, 1, tzinfo=UTC).replace(tzinfo=None)

    with pytest.raises(sa.exc.StatementError, match="found the naive time 2024-04-01T00:00:00"):
        operations.append_decision("eta", "not_now", "2024-01", "too early", {}, at=naive)


MIGRATES_WHEN_TOLD = """
import sys, pathlib, time
from perennial.stores.operations import Operations
url, ready, go = sys.argv[1:]
pathlib.Path(ready).touch()
while not pathlib.Path(go).exists():
    time.sleep(0.001)
operations = Operations(url)
operations.migrate()
print(operations.secret().hex())
"""


def test_processes_that_migrate_at_once_find_one_database_and_one_secret(
    operations: Operations, tmp_path: Path
) -> None:
    """The tables are dropped first, so that there is everything to make again."""
    url = operations.url.render_as_string(hide_password=False)
    if operations.is_sqlite:
        url = f"sqlite:///{tmp_path}/fresh/operations.db"
    else:
        with operations.writing("test") as transaction:
            transaction.exec_driver_sql("DROP SCHEMA public CASCADE")
            transaction.exec_driver_sql("CREATE SCHEMA public")
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    command = [sys.executable, "-c", MIGRATES_WHEN_TOLD, url]
    racers = [
        subprocess.Popen([*command, tmp_path / f"ready{n}", tmp_path / "go"], stdout=subprocess.PIPE, env=environment)
        for n in range(4)
    ]
    while len(list(tmp_path.glob("ready*"))) < len(racers):
        time.sleep(0.01)

    (tmp_path / "go").touch()

    said = {racer.communicate(timeout=60)[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0] * 4
    assert len(said) == 1
    raced = Operations(url)
    assert said.pop().decode().strip() == raced.secret().hex()
    raced.close()


def test_the_secret_is_made_once(operations: Operations) -> None:
    assert operations.secret() == operations.secret()
    assert len(operations.secret()) == 32


HOLDS = """
import sys
from perennial.stores.operations import Operations
operations = Operations(sys.argv[1])
with getattr(operations, sys.argv[2])("rides/landed"):
    print("held", flush=True)
    sys.stdin.read()
"""


LOCKED = {
    "holding": "rides/landed: another process has been writing for 0.3 s",
    "writing": "operations.db cannot be written, found database is locked",
}


@pytest.mark.parametrize(("kind", "named"), LOCKED.items())
def test_a_lock_that_another_process_keeps_is_waited_for_and_then_named(
    sqlite: Operations, at: datetime, monkeypatch: pytest.MonkeyPatch, kind: str, named: str
) -> None:
    for module in ("database", "embedded"):
        monkeypatch.setattr(f"perennial.stores.operations.{module}.BUSY_SECONDS", 0.3)
    mine = Operations(str(sqlite.url))
    command = [sys.executable, "-c", HOLDS, str(sqlite.url), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"

        began = time.monotonic()
        with pytest.raises(PerennialError, match=named), getattr(mine, kind)("rides/landed"):
            pass

        assert time.monotonic() - began >= 0.3
        other.communicate()
    with getattr(mine, kind)("rides/landed"):
        pass
