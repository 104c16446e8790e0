"""Sql: the partitions of a table or query, each read in one transaction that sees one state of the database."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import sqlalchemy as sa

from perennial.content import content_hash
from perennial.errors import SourceError, SourceUnreachable
from perennial.ingestion.landing import Arrival
from perennial.ingestion.partitioned import Partitioned
from perennial.sources import Sql
from perennial.time import Calendar

CHUNK = 50_000
"""Rows fetched at a time."""
CONNECT_SECONDS = 10
TABLE = re.compile(r"\w+(\.\w+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlReader:
    """Reads partitions of a database."""

    source: Sql
    url: str

    def read(self, pipeline: Partitioned, partition: str, *, fetched_at: datetime) -> Arrival:
        """The partition as the database holds it now. Raises SourceError, and then nothing has been read."""
        where = f"{pipeline.name} {partition}"
        with self._transaction(pipeline, where=where) as connection:
            cut = _Cut(pipeline, self.source, connection.dialect, where=where)
            seen = cut.signatures(connection, [partition])
            if partition not in seen:
                raise SourceError(
                    "the source has no rows of the partition",
                    where=where,
                    found=f"none in {_named(self.source)}",
                    expected="rows whose event time lies in it",
                )
            try:
                rows = cut.rows(connection, partition)
            except SourceError as error:
                error.signature = seen[partition]
                raise
        content = content_hash(rows)
        return Arrival(
            partition=partition,
            rows=rows,
            uri=f"{self._public_url()}#{_named(self.source)}",
            sha256=content,
            size=int(rows.estimated_size()),
            signature=seen[partition],
            fetched_at=fetched_at,
        )

    def signatures(self, pipeline: Partitioned, partitions: list[str]) -> dict[str, str]:
        """Count of rows and newest change of each of `partitions` that has rows, by one query for all."""
        if not partitions:
            return {}
        with self._transaction(pipeline, where=pipeline.name) as connection:
            cut = _Cut(pipeline, self.source, connection.dialect, where=pipeline.name)
            return cut.signatures(connection, partitions)

    @contextmanager
    def _transaction(self, pipeline: Partitioned, *, where: str) -> Iterator[sa.Connection]:
        """A read-only transaction on one state; the driver's errors are the source's."""
        url = sa.make_url(self.url)
        postgres = url.get_backend_name() == "postgresql"
        if not postgres and url.database and not Path(url.database).is_file():
            raise SourceUnreachable(
                "the database is not there", where=where, found=f"no file {url.database}", expected="one"
            )
        options: dict[str, Any] = {"connect_args": {"connect_timeout": CONNECT_SECONDS}} if postgres else {}
        engine = sa.create_engine(url, poolclass=sa.NullPool, **options)
        try:
            with engine.connect() as connection:
                if postgres:
                    connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                    zone = {"zone": pipeline.time.timezone}  # instants are compared and shown by its wall clock
                    connection.execute(sa.text("SELECT set_config('TimeZone', :zone, true)"), zone)
                else:
                    connection.exec_driver_sql("BEGIN")
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise SourceUnreachable(
                "the database cannot be read",
                where=where,
                found=f"{_first_line(error)} at {self._public_url()}",
                expected="an answer to the source's query",
                hint="look at the server and the declared query; nothing has landed, the next attempt starts anew",
            ) from error
        finally:
            engine.dispose()

    def _public_url(self) -> str:
        return str(sa.make_url(self.url).set(username=None, password=None, query={}))


class _Cut:
    """How one source is cut into partitions, in the words of its database."""

    def __init__(self, pipeline: Partitioned, source: Sql, dialect: sa.Dialect, *, where: str) -> None:
        quote = dialect.identifier_preparer.quote
        self.where = where
        self.calendar: Calendar = pipeline.time
        self.zone = ZoneInfo(pipeline.time.timezone)
        self.postgres = dialect.name == "postgresql"
        named = TABLE.fullmatch(source.rows)
        self.table = ".".join(map(quote, source.rows.split("."))) if named else f"({source.rows})"
        self.time = quote(_column(pipeline, pipeline.time.event_time, where=where))
        self.changed = quote(source.changed)
        columns = [(name, pipeline.schema.columns[name].source) for name in pipeline.key]
        keys = [source or name for name, source in columns if not isinstance(source, pl.Expr)]
        self.order = ", ".join([self.time, *map(quote, keys)])

    def signatures(self, connection: sa.Connection, partitions: Sequence[str]) -> dict[str, str]:
        """Of each of `partitions` that has rows: how many, and their newest change."""
        spans = {self._bounds(key)[0]: key for key in partitions}
        edges = sorted({edge for key in partitions for edge in self._bounds(key)})
        query = sa.text(
            f"SELECT bucket, count(*), max(changed) FROM (SELECT {self._bucket(len(edges))} AS bucket, "  # noqa: S608
            f"{self.changed} AS changed FROM {self.table} AS source "
            f"WHERE ({self.time} >= :first AND {self.time} < :last) OR {self.time} IS NULL) AS cut "
            "GROUP BY bucket ORDER BY bucket"
        )
        given: dict[str, Any] = {"first": edges[0], "last": edges[-1]}
        given |= {"edges": edges} if self.postgres else {f"e{number}": edge for number, edge in enumerate(edges)}
        found: dict[str, str] = {}
        for bucket, count, newest in connection.execute(query, given):
            # Rows without an event time go to the first partition, where validation judges them.
            key = self.calendar.start if bucket is None else spans.get(edges[bucket - 1], "")
            if key in partitions:
                found[key] = "+".join(filter(None, [found.get(key), f"{count}-{newest}"]))
        return found

    def rows(self, connection: sa.Connection, partition: str) -> pl.DataFrame:
        """The rows of one partition, ordered by time and key; fetched in chunks from the server."""
        start, end = self._bounds(partition)
        untimed = f" OR {self.time} IS NULL" if partition == self.calendar.start else ""
        query = sa.text(
            f"SELECT * FROM {self.table} AS source "  # noqa: S608 - the declaration's own words, quoted
            f"WHERE ({self.time} >= :start AND {self.time} < :end){untimed} ORDER BY {self.order}"
        )
        streamed = {"stream_results": True, "yield_per": CHUNK}
        with connection.execute(query, {"start": start, "end": end}, execution_options=streamed) as result:
            names = list(result.keys())
            chunks = [_frame(names, chunk, self.zone) for chunk in result.partitions(CHUNK)]
        try:
            return pl.concat(chunks, how="vertical_relaxed") if chunks else pl.DataFrame(schema=names)
        except pl.exceptions.PolarsError as error:
            raise _of_several_types(chunks, where=self.where) from error

    def _bucket(self, edges: int) -> str:
        """The number of the edges at or before a row's event time, null where it has none."""
        if self.postgres:
            return f"width_bucket(CAST({self.time} AS timestamp), CAST(:edges AS timestamp[]))"
        whens = " ".join(f"WHEN {self.time} < :e{number} THEN {number}" for number in range(edges))
        return f"CASE WHEN {self.time} IS NULL THEN NULL {whens} ELSE {edges} END"

    def _bounds(self, key: str) -> tuple[Any, Any]:
        """The wall clock at which partition `key` starts and ends, as the database compares it."""
        window = self.calendar.window(key)
        start, end = (at.astimezone(self.zone).replace(tzinfo=None) for at in (window.start, window.end))
        return (start, end) if self.postgres else (_text(start), _text(end))


def _text(at: datetime) -> str:
    """As SQLite compares times: the shortest text, so that a bare date is not before its own midnight.

    >>> _text(datetime(2024, 1, 1))
    '2024-01-01'
    """
    return at.isoformat(sep=" ").removesuffix(" 00:00:00")


def _column(pipeline: Partitioned, name: str, *, where: str) -> str:
    source = pipeline.schema.columns[name].source
    if isinstance(source, pl.Expr):
        roots = source.meta.root_names()
        if len(roots) != 1:
            raise SourceError(
                f"column {name!r} is computed from {len(roots)} columns",
                where=where,
                found=", ".join(roots),
                expected="an event time that the database can compare",
                hint="compute it in the query: Sql('SELECT ..., arrival - lead AS booked_on FROM ...')",
            )
        return roots[0]
    return source or name


def _frame(names: Sequence[str], rows: Sequence[Any], zone: tzinfo) -> pl.DataFrame:
    """Rows as a frame: exact decimals as floats, instants as wall clock of `zone`, other objects as text."""
    columns: dict[str, pl.Series] = {}
    for number, name in enumerate(names):
        values = [_plain(row[number], zone) for row in rows]
        columns[name] = pl.Series(name, values, strict=False)
    return pl.DataFrame(columns)


def _of_several_types(chunks: Sequence[pl.DataFrame], *, where: str) -> SourceError:
    """What to raise for chunks that make no one table: the first column whose types have nothing in common."""
    for name in chunks[0].columns:
        series = [chunk.select(name) for chunk in chunks]
        try:
            pl.concat(series, how="vertical_relaxed")
        except pl.exceptions.PolarsError:
            types = ", ".join(sorted({str(one.dtypes[0]) for one in series}))
            return SourceError(
                f"column {name!r} holds values of several types",
                where=where,
                found=types,
                expected="one type",
                hint="cast it in the query: Sql('SELECT CAST(... AS REAL) ...')",
            )
    return SourceError("the rows make no one table", where=where, expected="equal columns in every row")


def _plain(value: Any, zone: tzinfo) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(zone).replace(tzinfo=None)
    if isinstance(value, Decimal):
        return float(value)
    if value is None or isinstance(value, str | int | float | bool | datetime) or hasattr(value, "isoformat"):
        return value
    return str(value)


def _named(source: Sql) -> str:
    return source.rows if TABLE.fullmatch(source.rows) else "query"


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0][:300]
