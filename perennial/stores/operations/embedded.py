"""Embedded: the operations database in a SQLite file, for which nothing has to be started."""

from __future__ import annotations

import json
import os
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

_of_parents: list[sqlite3.Connection] = []
"""Connections that a fork left here. They are their own process's to close, and so are held until this one ends."""


def sqlite_engine(url: sa.URL) -> sa.Engine:
    """An engine on the file at `url`: transactions wait for each other before their first read.

    One connection waits for the next transaction, and is not used in a forked process, nor where the file was moved
    away or put back since. When the last connection to a file is closed, SQLite brings its log into the file and
    removes it, and the disk then writes out all else that is fresh, such as a table's rows: at every transaction.
    """
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=-1,
        connect_args={"timeout": BUSY_SECONDS},
        json_serializer=dump_json,
    )
    _keep_one(engine, Path(str(url.database)))

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


def _keep_one(engine: sa.Engine, path: Path) -> None:
    """Let a connection be taken up again only in its process, and while the file is as it was left."""

    @sa.event.listens_for(engine, "do_connect")
    def note(_: object, record: ConnectionPoolEntry, *__: object) -> None:
        # Before the file is opened: one that comes in between is not taken for it.
        record.info.update(process=os.getpid(), file=_file(path))

    @sa.event.listens_for(engine, "checkin")
    def leave(_: object, record: ConnectionPoolEntry) -> None:
        record.info["left"] = _file(path)

    @sa.event.listens_for(engine, "checkout")
    def take(connection: sqlite3.Connection, record: ConnectionPoolEntry, proxy: sa.PoolProxiedConnection) -> None:
        if "left" not in record.info:  # it was opened just now
            return
        now, opened, left = _file(path), record.info["file"], record.info["left"]
        if record.info["process"] != os.getpid():
            _of_parents.append(connection)
            record.dbapi_connection = proxy.dbapi_connection = None  # type: ignore[misc]
        elif now == left and now[:2] == opened[:2]:
            return
        raise sa.exc.DisconnectionError(f"{path} is not the file that was opened")  # another one is opened


def _file(path: Path) -> tuple[int, int, int, int]:
    """Which file it is, and as of when: it changes whenever the log is brought into it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0, 0, 0)
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


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
