"""Embedded: the operations database in a SQLite file, for which nothing has to be started."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

BUSY_SECONDS = 60
"""How long a writer of SQLite waits for the others before it fails."""
dump_json = partial(json.dumps, sort_keys=True, allow_nan=False)


def sqlite_engine(url: sa.URL) -> sa.Engine:
    """An engine on the file at `url`: transactions wait for each other before their first read.

    One connection waits for the next transaction; it is closed where the file was moved away since. When the last
    connection to a file is closed, SQLite brings its log into the file and removes it, and the disk then writes out
    all else that is fresh, such as a table's rows: at every transaction.
    """
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=-1,
        connect_args={"timeout": BUSY_SECONDS},
        json_serializer=dump_json,
    )
    _check_place(engine, Path(str(url.database)))

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, below
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # a decision that was answered survives a power cut

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # IMMEDIATE: a writer waits before its first read, so that what it reads holds until it commits
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _check_place(engine: sa.Engine, path: Path) -> None:
    """Let a connection be taken up again only while its file is the one at `path`."""

    @sa.event.listens_for(engine, "do_connect")
    def note(_: object, record: ConnectionPoolEntry, *__: object) -> None:
        record.info["file"] = _file(path)  # before it is opened: one that comes in between is not taken for it

    @sa.event.listens_for(engine, "checkout")
    def check(_: object, record: ConnectionPoolEntry, __: object) -> None:
        if record.info["file"] != _file(path):
            raise sa.exc.DisconnectionError(f"{path} is not the file that was opened")  # it is opened anew


def _file(path: Path) -> tuple[int, int] | None:
    """Which file it is."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def make_file(path: Path) -> None:
    """The database file, in write-ahead mode: readers never wait for a writer. The file remembers it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + BUSY_SECONDS
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:  # SQLite does not wait when two change the mode at once
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return
