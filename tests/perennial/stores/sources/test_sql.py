"""Sql: a partition is one consistent read of a real database, and changes are seen by one query for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from perennial import Column, Daily, Label, Median, Pipeline, Regression, Schema, ShareWithin, Sql, Windows, col, env
from perennial.errors import SourceError, SourceUnreachable
from perennial.ingestion.landing import land
from perennial.stores.sources import Sources, sql
from tests.perennial.stores.sources.placing import placed

AT = datetime(2026, 1, 1, tzinfo=UTC)
NOON = datetime(2024, 1, 1, 12)
DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]

PIPELINE = Pipeline(
    name="rides",
    owner="team:tests",
    objective=Regression(goal=1.0, unit="minutes", kpi=ShareWithin(5.0)),
    source=Sql("rides", url=env("RIDES_URL"), changed="changed_at", licence="ours"),
    time=Daily(start="2024-01-01", event_time="started", timezone="Europe/Berlin"),
    key=["ride"],
    schema=Schema(
        {
            "ride": Column("int64", source="id"),
            "started": Column("datetime", source="started_at"),
            "fare": Column("float64"),
            "note": Column("string", nullable=True),
        },
        allow_additional=True,
    ),
    features=[col("fare")],
    label=Label("price", value=col("fare"), known_at="started"),
    candidates=[Median(by="fare")],
    windows=Windows(train=1),
)


class Database:
    """A database with one table, and the sources that read it."""

    def __init__(self, url: str, home: Path, *, schema: str = "", time: str = "timestamptz") -> None:
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        self.url, self.table = url, f"{schema}rides"
        self.sources = Sources(home=home, environment={"RIDES_URL": url})
        self.pipeline = placed(PIPELINE, rows=self.table)
        self.run(
            f"CREATE TABLE {self.table} (id integer PRIMARY KEY, started_at {time}, fare numeric(8, 2), note text, "
            "changed_at timestamp NOT NULL)"
        )

    def run(self, statement: str, **given: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), given)

    def add(self, ride: int, started: str | None, fare: float = 9.5, changed: str = "2024-01-01 00:00:00") -> None:
        self.run(
            f"INSERT INTO {self.table} VALUES (:ride, :started, :fare, NULL, :changed)",  # noqa: S608
            ride=ride, started=started, fare=fare, changed=changed,
        )  # fmt: skip

    def signatures(self) -> dict[str, str]:
        return self.sources.signatures(self.pipeline, DAYS)

    def rides(self, day: str) -> list[int]:
        arrival = self.sources.read(self.pipeline, day, fetched_at=AT)
        return land(self.pipeline, arrival).frame["ride"].to_list()


@pytest.fixture
def postgres(postgres_url: str, tmp_path: Path) -> Iterator[Database]:
    url = postgres_url.replace("postgresql://", "postgresql+psycopg://")
    admin = sa.create_engine(url, poolclass=sa.NullPool)
    with admin.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA IF EXISTS city CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA city"))
    yield Database(url, tmp_path, schema="city.")
    with admin.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA city CASCADE"))


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path / 'rides.db'}", tmp_path, time="text")
    started = Column("datetime", source=col("started_at").str.to_datetime("%Y-%m-%d %H:%M:%S"))
    columns = {**PIPELINE.schema.columns, "started": started}
    database.pipeline = replace(database.pipeline, schema=Schema(columns, allow_additional=True))
    return database


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    return found


def test_a_partition_holds_the_rows_whose_local_event_time_lies_in_it(database: Database) -> None:
    zone = "+01" if database.url.startswith("postgresql") else ""
    for ride, started in enumerate(["2023-12-31 23:59:59", "2024-01-01 00:00:00", "2024-01-01 23:59:59"]):
        database.add(ride, started + zone)
    database.add(3, f"2024-01-03 00:00:00{zone}", fare=12.25)

    assert sorted(database.signatures()) == ["2024-01-01", "2024-01-03"]
    assert database.rides("2024-01-01") == [1, 2]
    arrival = database.sources.read(database.pipeline, "2024-01-03", fetched_at=AT)
    landed = land(database.pipeline, arrival)
    assert landed.frame.select("ride", "started", "fare").rows() == [(3, datetime(2024, 1, 3), 12.25)]
    assert landed.provenance["licence"] == "ours"
    assert landed.provenance["uri"].endswith(f"#{database.table}")
    assert arrival.signature == database.signatures()["2024-01-03"]
    assert arrival.sha256 == database.sources.read(database.pipeline, "2024-01-03", fetched_at=AT).sha256


def test_only_partitions_with_a_newer_change_or_another_count_have_another_signature(database: Database) -> None:
    for ride, day in enumerate(DAYS):
        database.add(ride, f"{day} 12:00:00")
    before = database.signatures()

    table = database.table
    database.run(f"UPDATE {table} SET fare = 1, changed_at = '2024-02-01 00:00:00' WHERE id = 1")  # noqa: S608
    database.run(f"DELETE FROM {table} WHERE id = 2")  # noqa: S608

    after = database.signatures()
    assert after["2024-01-01"] == before["2024-01-01"]
    assert after["2024-01-02"] != before["2024-01-02"]
    assert "2024-01-03" not in after


def test_one_query_looks_at_every_partition(database: Database) -> None:
    for ride, day in enumerate(DAYS):
        database.add(ride, f"{day} 12:00:00")
    said: list[str] = []
    sa.event.listen(sa.Engine, "before_cursor_execute", lambda c, cursor, text, *rest: said.append(text))

    many = database.pipeline.time.keys("2024-01-01", "2024-12-31")
    assert sorted(database.sources.signatures(database.pipeline, many)) == DAYS
    assert len([text for text in said if "count(*)" in text]) == 1


def test_a_row_without_an_event_time_goes_to_the_first_partition(database: Database) -> None:
    database.add(1, None)
    database.add(2, "2024-01-01 12:00:00")

    assert sorted(database.rides("2024-01-01")) == [1, 2]
    assert list(database.signatures()) == ["2024-01-01"]


def test_a_query_may_stand_for_the_table(database: Database) -> None:
    database.add(1, "2024-01-01 12:00:00")
    database.add(2, "2024-01-01 13:00:00", fare=-3)
    rows = f"SELECT * FROM {database.table} WHERE fare > 0"  # noqa: S608
    database.pipeline = placed(database.pipeline, rows=rows)

    assert database.rides("2024-01-01") == [1]


def test_a_partition_without_rows_and_a_wrong_query_are_errors_of_the_source(database: Database) -> None:
    with pytest.raises(SourceError, match=r"rides 2024-01-01: the source has no rows of the partition"):
        database.rides("2024-01-01")

    database.run(f"DROP TABLE {database.table}")
    with pytest.raises(SourceUnreachable, match=r"the database cannot be read, found .*rides"):
        database.signatures()


def test_a_column_of_several_types_is_one_error_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "CHUNK", 1)
    monkeypatch.setattr(sql, "_plain", lambda value, _zone: {"free": NOON.time(), 1.5: True}.get(value, value))
    file = tmp_path / "rides.db"
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE rides (id, started_at, fare, changed)")
        for ride, fare in (("1", "1.5"), ("2", "'free'")):
            connection.exec_driver_sql(f"INSERT INTO rides VALUES ({ride}, '2024-01-01 12:00:00', {fare}, 1)")  # noqa: S608
    cut = sql._Cut(PIPELINE, Sql("rides", url="", changed="changed"), engine.dialect, where="here")

    mixed = r"here: column 'fare' holds values of several types, found Boolean, Time"
    with engine.connect() as connection, pytest.raises(SourceError, match=mixed):
        cut.rows(connection, "2024-01-01")
    engine.dispose()


def test_a_database_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    for url, words in {
        "postgresql+psycopg://me:secret@127.0.0.1:9/rides": ["cannot be read", "connection", "127.0.0.1"],
        f"sqlite:///{tmp_path}/absent.db": ["the database is not there", "absent.db"],
    }.items():
        sources = Sources(home=tmp_path, environment={"RIDES_URL": url})
        with pytest.raises(SourceError) as caught:
            sources.signatures(PIPELINE, DAYS)
        assert "secret" not in str(caught.value)
        for word in words:
            assert word in str(caught.value)
    with pytest.raises(SourceError, match="set RIDES_URL="):
        Sources(home=tmp_path, environment={}).signatures(PIPELINE, DAYS)


@pytest.mark.postgres
def test_a_connection_that_is_closed_while_it_is_read_gives_an_error_and_no_rows(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.run(
        "INSERT INTO city.rides SELECT n, '2024-01-01 12:00+01', 1, repeat('x', 100), now() "
        "FROM generate_series(1, 5000) n"
    )
    monkeypatch.setattr(sql, "CHUNK", 100)
    real, read = sql._frame, 0

    def cut_off(*given: Any) -> pl.DataFrame:
        nonlocal read
        read += 1
        if read == 3:
            postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(sql, "_frame", cut_off)
        wanted = r"rides 2024-01-01: the database cannot be read.*nothing has landed"
        with pytest.raises(SourceUnreachable, match=wanted):
            postgres.rides("2024-01-01")

    assert 3 <= read < 50
    assert len(postgres.rides("2024-01-01")) == 5000


@pytest.mark.postgres
def test_a_change_while_it_is_read_is_not_seen_by_halves(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    postgres.run(
        "INSERT INTO city.rides SELECT n, '2024-01-01 12:00+01', 1, NULL, '2024-01-01' FROM generate_series(1, 500) n"
    )
    monkeypatch.setattr(sql, "CHUNK", 100)
    before, real = postgres.signatures(), sql._frame
    changed: list[bool] = []

    def change_once(*given: Any) -> pl.DataFrame:
        if not changed:
            postgres.run("UPDATE city.rides SET fare = 2, changed_at = '2024-06-01'")
            changed.append(True)
        return real(*given)

    monkeypatch.setattr(sql, "_frame", change_once)
    arrival = postgres.sources.read(postgres.pipeline, "2024-01-01", fetched_at=AT)

    assert arrival.frame["fare"].unique().to_list() == [1.0]
    assert arrival.signature == before["2024-01-01"] != postgres.signatures()["2024-01-01"]
