"""Event log: Dagster's SQLite storage, which writes the events of a batch in one transaction.

Dagster's own opens two or three databases anew for each event. A range run over a year plans and reports
thousands: a materialization took 8 to 9 ms of processor time and
25 to 50 ms on a busy disk, in a batch of 100 it takes 1.6 and 4.
`tests/resources/test_event_log.py` holds it to what Dagster's own storage answers.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dagster import EventLogEntry
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, SqliteStorageConfig
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, NullPool, create_engine

BATCH_SIZE = ("DAGSTER_EVENT_BATCH_SIZE", "100")
"""Dagster keeps so many planned events of one run together before it stores them; by default it does not."""


class LocalStorage(DagsterSqliteStorage):
    """Dagster's storage for one machine, with an event log that knows batches."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = BatchingEventLog(self._event_log_storage._base_dir)  # noqa: SLF001 - the very folder
        os.environ.setdefault(*BATCH_SIZE)

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData, config_value: SqliteStorageConfig
    ) -> "LocalStorage":
        """The storage that `dagster.yaml` describes."""
        return cls.from_local(inst_data=inst_data, **config_value)


class BatchingEventLog(SqliteEventLogStorage):
    """Dagster's event log of one machine: a batch is one transaction for each database, an engine is made once."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
        self._batch: tuple[int, ExitStack, dict[str, Connection]] | None = None
        super().__init__(base_dir, inst_data)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store all of `events`, in their order, or none of them."""
        with self._db_lock, ExitStack() as stack:
            self._batch = threading.get_ident(), stack, {}
            try:
                for event in events:
                    self.store_event(event)
            finally:
                self._batch = None

    def delete_events(self, run_id: str) -> None:
        """Delete the events of a run, and the file that held them: Dagster's own leaves it, empty and as large."""
        super().delete_events(run_id)
        with self._db_lock:
            self._engines.pop(run_id, None)
            self._initialized_dbs.discard(run_id)
            for file in Path(self.path_for_shard(run_id)).parent.glob(f"{run_id}.db*"):
                file.unlink(missing_ok=True)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        batch = self._batch
        if batch is not None and batch[0] == threading.get_ident():
            _, stack, held = batch
            if shard not in held:
                held[shard] = stack.enter_context(self._begin(shard))
            yield held[shard]
        else:
            with self._db_lock, self._begin(shard) as connection:
                yield connection

    @contextmanager
    def _begin(self, shard: str) -> Iterator[Connection]:
        """A new connection in a transaction that the block's end commits."""
        if shard not in self._engines:
            self._engines[shard] = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=NullPool,
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
            )
        engine = self._engines[shard]
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        with engine.connect() as connection, connection.begin():
            yield connection
