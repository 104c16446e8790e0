"""Operations databases to test on: SQLite always, Postgres where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from perennial.stores.operations import Operations

AT = datetime(2024, 4, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def at() -> datetime:
    """Return the time of every write."""
    return AT


@pytest.fixture
def sqlite(tmp_path: Path) -> Operations:
    """Return an empty database in a file."""
    operations = Operations(f"sqlite:///{tmp_path}/operations.db")
    operations.migrate()
    return operations


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def operations(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Operations]:
    """Yield an empty database of each kind."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite")
        return
    server: sa.URL = request.getfixturevalue("postgres_server")
    operations = Operations(server.render_as_string(hide_password=False))
    with operations.writing("test") as transaction:
        transaction.exec_driver_sql("DROP SCHEMA public CASCADE")
        transaction.exec_driver_sql("CREATE SCHEMA public")
    operations.migrate()
    yield operations
    operations.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[sa.URL]:
    """Yield the address of a private server on a socket of its own."""
    if shutil.which("initdb") is None:
        pytest.skip("Postgres is not installed: no initdb on the PATH")
    user = "postgres" if os.geteuid() == 0 else None  # Postgres refuses to run as root
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        if user:
            shutil.chown(folder, user)

        def run(command: Sequence[str]) -> None:
            subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)

        data = f"{folder}/data"
        run(["initdb", "--pgdata", data, "--auth", "trust", "--username", "perennial", "--no-sync"])
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        run(["pg_ctl", "--pgdata", data, "--log", f"{folder}/log", "--options", options, "--wait", "start"])
        try:
            yield sa.URL.create(
                "postgresql+psycopg2", username="perennial", database="postgres", query={"host": folder}
            )
        finally:
            run(["pg_ctl", "--pgdata", data, "--mode", "immediate", "--wait", "stop"])
