"""Database: one SQLAlchemy address, its transactions, and its migrations.

Safe to use from several threads and processes at once: each call opens a transaction of its own, and
writers of one pipeline wait for each other before they read what they decide on.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from weakref import WeakSet

import sqlalchemy as sa

from perennial.errors import PerennialError
from perennial.stores.operations.embedded import BUSY_SECONDS, dump_json, make_file, sqlite_engine
from perennial.stores.operations.tables import REVISION

MIGRATIONS = Path(__file__).parent.parent / "migrations"
HINTS = {
    "database is locked": "another process has been writing it all the while; look for one that hangs",
    "database or disk is full": "free some disk; what stood is as it was",
    "disk I/O error": "free some disk, or look after it; what stood is as it was",
}
"""What to do about what SQLite says, by its words."""
_LOCKS = 7_466_382
"""Namespace of our advisory locks in Postgres: any number that no other application takes."""


class Database:
    """An operations database; the file or schema is made by `migrate`. Raises PerennialError for no address of one."""

    def __init__(self, url: str) -> None:
        self.url = _address(url)
        self._held = threading.local()
        self._engine = sqlite_engine(self.url) if self.is_sqlite else _server_engine(self.url)
        weakref.finalize(self, self._engine.dispose)
        _engines.add(self._engine)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded default."""
        return self.url.get_backend_name() == "sqlite"

    def migrate(self) -> None:
        """Bring the tables to the newest revision; changes nothing when they are there.

        Two processes at once are fine: the second waits for the first and finds its work done. Raises
        PerennialError where the database cannot be opened.
        """
        try:
            if self.is_sqlite:
                make_file(Path(str(self.url.database)))
            with self.reading() as transaction:
                if _revision(transaction) == REVISION:
                    return
        except (OSError, sqlite3.Error, sa.exc.DBAPIError) as error:
            raise PerennialError(
                "the operations database cannot be opened", where=self.url.render_as_string(),
                found=str(error.orig if isinstance(error, sa.exc.DBAPIError) else error),
                hint="look at PERENNIAL_OPERATIONS_URL, and whether its server runs or its folder may be written",
            ) from error  # fmt: skip
        with self.writing("migrations") as transaction:
            _upgrade(transaction)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, lock: str) -> Iterator[sa.Connection]:
        """A transaction that holds `lock` from its first read to its commit.

        Raises PerennialError when another process keeps SQLite locked, or its disk takes no more.
        """
        with self._told(lock), self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            if not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCKS, sa.func.hashtext(lock))))
            yield connection

    @contextmanager
    def _told(self, lock: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.OperationalError as error:
            found = str(error.orig)
            hint = next((hint for problem, hint in HINTS.items() if problem in found), None)
            if hint is None:
                raise
            raise PerennialError(
                f"{self.url.render_as_string()} cannot be written", where=lock, found=found, hint=hint
            ) from error

    @contextmanager
    def holding(self, lock: str) -> Iterator[None]:
        """Hold `lock` over work that is more than a transaction, such as rows in the lake and their manifest.

        A thread that holds it may take it again. It is free when the process ends, however that ends.
        Raises PerennialError when another process holds it for longer than BUSY_SECONDS.
        """
        held: set[str] = self._held.__dict__.setdefault("locks", set())
        if lock in held:
            yield
            return
        with self._file_lock(lock) if self.is_sqlite else self._server_lock(lock):
            held.add(lock)
            try:
                yield
            finally:
                held.discard(lock)

    @contextmanager
    def _file_lock(self, lock: str) -> Iterator[None]:
        folder = Path(str(self.url.database)).with_suffix(".locks")
        folder.mkdir(exist_ok=True)
        with (folder / lock.replace("/", ".")).open("w") as file:
            _wait_for(lock, lambda: _try_lock(file))
            yield

    @contextmanager
    def _server_lock(self, lock: str) -> Iterator[None]:
        key = (_LOCKS + 1, sa.func.hashtext(lock))
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            _wait_for(lock, lambda: bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(*key)))))
            try:
                yield
            finally:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(*key)))


_engines: WeakSet[sa.Engine] = WeakSet()


def _close_idle() -> None:
    for engine in list(_engines):
        engine.dispose()


# A connection must not cross a fork: of SQLite the child would take locks for its own that are the parent's.
os.register_at_fork(before=_close_idle)


def _address(url: str) -> sa.URL:
    """The database at `url`: a file, since one in memory belongs to a connection, or one that psycopg2 reaches."""
    try:
        address = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise _no_database("no address") from error
    if address.drivername in ("postgresql", "postgres", "postgresql+psycopg2"):
        return address.set(drivername="postgresql+psycopg2")
    if address.drivername == "sqlite" and address.database not in (None, "", ":memory:"):
        return address
    raise _no_database(f"PERENNIAL_OPERATIONS_URL={address.drivername}://…")


def _no_database(found: str) -> PerennialError:
    return PerennialError(
        "no operations database is known at this address", where="settings", found=found,
        expected="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DB",
    )  # fmt: skip


def _wait_for(lock: str, take: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    while not take():
        if time.monotonic() > deadline:
            raise PerennialError(
                f"another process has been writing for {BUSY_SECONDS} s", where=lock, expected="its turn to write",
                hint="look for a run that hangs; the lock goes with its process",
            )  # fmt: skip
        time.sleep(0.02)


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _server_engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(url, pool_pre_ping=True, json_serializer=dump_json)


def _revision(transaction: sa.Connection) -> str | None:
    if not sa.inspect(transaction).has_table("alembic_version"):
        return None
    return transaction.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(transaction: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": transaction})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")
