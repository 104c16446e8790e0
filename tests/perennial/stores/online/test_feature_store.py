"""Feature store: what is online is the newest known, in every store alike; offline, Feast joins by known_at."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from perennial.errors import OnlineStoreDown, PerennialError
from perennial.featurization.views import FeatureView
from perennial.stores.online import OnlineState, feature_store, open_reader, read_states
from perennial.stores.online.encoding import EntityKeys
from perennial.stores.online.feast_repository import HASH, FeastRepository, online_config
from perennial.stores.online.feature_store import FeatureStore, Materialized, Moment
from tests.servers import free_port

STORES = [
    "sqlite",
    pytest.param("redis", marks=pytest.mark.redis),
    pytest.param("postgres", marks=pytest.mark.postgres),
]
PAIRS = FeatureView(pipeline="rides", by={"zone": "int32", "area": "string"}, features={"mean": "1a", "count": "1b"})
KNOWN = datetime(2024, 1, 2, tzinfo=UTC)
AT = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of an empty online store of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'online.db'}"
    if request.param == "redis":
        address: str = request.getfixturevalue("redis_url")
        import redis

        with redis.Redis.from_url(address) as client:
            client.flushall()
        return address
    address = request.getfixturevalue("postgres_url")
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return address


@pytest.fixture
def store(url: str, tmp_path: Path) -> FeatureStore:
    return FeatureStore(root=tmp_path / "feature_store", online_url=url)


def states(day: int, *rows: tuple[int, str, float | None, float | None]) -> pl.DataFrame:
    """The state at the end of a day: zone, area, mean, count."""
    return pl.DataFrame(
        {
            "zone": pl.Series([row[0] for row in rows], dtype=pl.Int32),
            "area": [row[1] for row in rows],
            "mean": pl.Series([row[2] for row in rows], dtype=pl.Float64),
            "count": pl.Series([row[3] for row in rows], dtype=pl.Float64),
            "known_at": pl.Series([known(day)] * len(rows), dtype=pl.Datetime("us", "UTC")),
            "partition": [f"2024-01-{day:02}"] * len(rows),
        }
    )


def moment(partition: str, day: int) -> Moment:
    return Moment(partition=partition, known_at=known(day))


def materialize(
    store: FeatureStore, rows: pl.DataFrame, view: FeatureView = PAIRS, *, at: datetime = AT
) -> Materialized:
    """Bring online what is newest in `rows`."""
    newest = rows.sort("known_at").row(-1, named=True)
    return store.materialize(view, rows, Moment(partition=newest["partition"], known_at=newest["known_at"]), at=at)


def known(day: int) -> datetime:
    return KNOWN + timedelta(days=day - 1, microseconds=7)


def online(
    store: FeatureStore, *entities: tuple[int | str, ...], view: FeatureView = PAIRS
) -> list[dict[str, Any] | None]:
    """What a server reads of `entities`."""

    async def read() -> list[dict[str, Any] | None]:
        reader = open_reader(store.online_url)
        try:
            keys = [EntityKeys(view.by).encode(entity) for entity in entities]
            rows = await reader.read(view.pipeline, view.name, list(view.features), keys)
            return [dict(rows[key]) if key in rows else None for key in keys]
        finally:
            await reader.close()

    return asyncio.run(read())


def registered(store: FeatureStore, view: FeatureView) -> Any:
    """Feast's own feature view."""
    with store.feast([view]) as feast:
        return feast.get_feature_view(view.name)


def states_online(store: FeatureStore, *views: str) -> dict[str, OnlineState]:
    async def read() -> dict[str, OnlineState]:
        reader = open_reader(store.online_url)
        try:
            return await read_states(reader, "rides", views)
        finally:
            await reader.close()

    return asyncio.run(read())


def test_a_server_reads_what_was_materialized(store: FeatureStore) -> None:
    done = materialize(store, states(1, (1, "north", 2.5, 3.0), (-7, "süd", None, 0.0)))

    assert online(store, (1, "north"), (-7, "süd"), (1, "süd")) == [
        {"mean": 2.5, "count": 3.0}, {"mean": None, "count": 0.0}, None,
    ]  # fmt: skip
    assert (done.written, done.removed) == (2, 0)


def test_what_a_server_reads_is_what_feast_reads(store: FeatureStore) -> None:
    rows = [(zone, area, zone / 7, None if zone % 3 else 1e300) for zone in range(-20, 20) for area in ("", "x" * 300)]
    materialize(store, states(1, *rows))
    named = [f"{PAIRS.name}:mean", f"{PAIRS.name}:count"]
    asked = [{"zone": zone, "area": area} for zone, area, *_ in rows]

    with store.feast([PAIRS]) as feast:
        said = feast.get_online_features(features=named, entity_rows=asked).to_dict()

    ours = online(store, *((zone, area) for zone, area, *_ in rows))
    assert [row and row["mean"] for row in ours] == said["mean"] == [row[2] for row in rows]
    assert [row and row["count"] for row in ours] == said["count"]


def test_the_state_says_which_partition_is_online_since_when(store: FeatureStore) -> None:
    done = materialize(store, states(3, (1, "north", 2.5, 3.0)))

    state = OnlineState(
        features=PAIRS.features,
        content=done.state.content,
        known_at=known(3),
        partition="2024-01-03",
        written_at=AT,
        entities=1,
    )
    assert store.state(PAIRS) == state
    assert states_online(store, PAIRS.name, "by_nobody") == {PAIRS.name: state}


def test_before_anything_is_materialized_nothing_is_online(store: FeatureStore) -> None:
    assert store.state(PAIRS) is None
    if not store.online_url.startswith("sqlite"):
        assert online(store, (1, "north")) == [None]
        assert states_online(store, PAIRS.name) == {}


def test_an_entity_without_value_in_the_newest_state_keeps_no_old_one(store: FeatureStore) -> None:
    first = states(1, (1, "north", 2.5, 3.0), (2, "north", 9.0, 1.0))
    materialize(store, first)

    done = materialize(store, pl.concat([first, states(2, (1, "north", 4.0, 5.0))]))

    assert (done.written, done.removed) == (1, 1)
    gone = {"mean": None, "count": None}
    assert online(store, (1, "north"), (2, "north")) == [{"mean": 4.0, "count": 5.0}, gone]


def test_a_state_without_any_entity_empties_the_view(store: FeatureStore) -> None:
    first = states(1, (1, "north", 2.5, 3.0))
    store.materialize(PAIRS, first, moment("2024-01-01", 1), at=AT)

    done = store.materialize(PAIRS, first, moment("2024-01-02", 2), at=AT)

    assert (done.written, done.removed, done.state.known_at) == (0, 1, known(2))
    assert online(store, (1, "north")) == [{"mean": None, "count": None}]


def test_a_state_that_may_not_be_read_any_more_gives_way_to_the_one_before_it(store: FeatureStore) -> None:
    materialize(store, states(5, (1, "north", 5.0, 5.0), (2, "north", 5.0, 5.0)))

    done = materialize(store, states(4, (1, "north", 4.0, 4.0), (3, "north", 4.0, 4.0)))

    assert (done.state.partition, done.state.known_at) == ("2024-01-04", known(4))
    assert store.state(PAIRS) == done.state
    assert (done.written, done.removed) == (2, 1)
    gone = {"mean": None, "count": None}
    now = {"mean": 4.0, "count": 4.0}
    assert online(store, (1, "north"), (2, "north"), (3, "north")) == [now, gone, now]


def test_running_again_changes_nothing(store: FeatureStore) -> None:
    first = materialize(store, states(1, (1, "north", 2.5, 3.0)))

    again = materialize(store, states(1, (1, "north", 2.5, 3.0)), at=AT + timedelta(days=1))

    assert again.state == first.state
    assert again.written == 0


def test_a_correction_known_within_the_same_second_comes_online(store: FeatureStore) -> None:
    first = states(1, (1, "north", 2.5, 3.0))
    materialize(store, first)
    corrected = first.with_columns(pl.col("known_at") + timedelta(microseconds=1), mean=pl.lit(2.0))

    materialize(store, pl.concat([first, corrected]))

    assert online(store, (1, "north")) == [{"mean": 2.0, "count": 3.0}]


def test_values_of_another_declaration_are_forgotten_not_used(store: FeatureStore) -> None:
    materialize(store, states(5, (1, "north", 5.0, 5.0), (2, "north", 5.0, 5.0)))
    changed = replace(PAIRS, features={"mean": "2a", "count": "1b"})

    done = materialize(store, states(4, (1, "north", 4.0, 4.0)), changed)

    assert done.state.features == changed.features
    assert online(store, (1, "north"), (2, "north")) == [{"mean": 4.0, "count": 4.0}, None]
    assert registered(store, changed).tags[HASH] == changed.hash != PAIRS.hash


def test_a_state_that_was_computed_anew_replaces_itself(store: FeatureStore) -> None:
    materialize(store, states(1, (1, "north", 1.0, 1.0), (2, "north", 2.0, 2.0)))

    done = materialize(store, states(1, (1, "north", 1.5, 2.0)))

    assert done.written == 1
    assert online(store, (1, "north"), (2, "north")) == [{"mean": 1.5, "count": 2.0}, {"mean": None, "count": None}]
    assert done.removed == 1


def test_a_server_reads_the_old_values_until_those_computed_anew_are_written(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    materialize(store, states(1, (1, "north", 1.0, 1.0), (2, "north", 2.0, 2.0)))
    before = store.state(PAIRS)
    write, seen = FeastRepository.write, []

    def watched(repository: FeastRepository, view: str, rows: pl.DataFrame, at: datetime) -> None:
        seen.append((online(store, (1, "north"), (2, "north")), states_online(store, view)))
        write(repository, view, rows, at)

    with monkeypatch.context() as watching:
        watching.setattr(FeastRepository, "write", watched)
        materialize(store, states(1, (1, "north", 1.5, 2.0), (2, "north", 2.0, 2.0)))

    assert before is not None
    values = [rows for rows, _ in seen]
    old = [{"mean": 1.0, "count": 1.0}, {"mean": 2.0, "count": 2.0}]
    new = [{"mean": 1.5, "count": 2.0}, {"mean": 2.0, "count": 2.0}]
    assert values == [old, old, *[new] * (len(values) - 2)]
    assert {state.known_at for _, found in seen for state in found.values()} == {before.known_at}


def test_a_state_computed_anew_that_was_cut_short_and_taken_back_is_mended(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = states(1, (1, "north", 1.0, 1.0))
    materialize(store, first)
    with cut_before_the_state(monkeypatch), pytest.raises(ZeroDivisionError):
        materialize(store, states(1, (1, "north", 2.0, 2.0), (2, "north", 2.0, 2.0)))

    materialize(store, first)

    assert online(store, (1, "north"), (2, "north")) == [{"mean": 1.0, "count": 1.0}, {"mean": None, "count": None}]


def test_no_server_takes_values_of_another_declaration_for_those_of_the_old_one(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    materialize(store, states(1, (1, "north", 1.0, 1.0)))
    changed = replace(PAIRS, features={"mean": "2a", "count": "1b"})
    write, forget, seen = FeastRepository.write, FeastRepository.forget, []

    def see() -> None:
        read = online(store, (1, "north"))
        (state,) = states_online(store, PAIRS.name).values()
        if state.features == PAIRS.features:  # what a server of the old meaning would use
            seen.append(read)

    def forgotten(repository: FeastRepository, view: FeatureView) -> None:
        see()
        forget(repository, view)
        see()

    def written(repository: FeastRepository, view: str, rows: pl.DataFrame, at: datetime) -> None:
        see()
        write(repository, view, rows, at)

    with monkeypatch.context() as watching:
        watching.setattr(FeastRepository, "write", written)
        watching.setattr(FeastRepository, "forget", forgotten)
        materialize(store, states(1, (1, "north", 9.0, 9.0)), changed)
    see()

    assert seen == [[{"mean": 1.0, "count": 1.0}]]  # before the first write, and never again


def test_an_entity_that_left_a_state_computed_anew_is_gone_from_the_next_one_too(store: FeatureStore) -> None:
    materialize(store, states(1, (1, "north", 1.0, 1.0), (2, "north", 2.0, 2.0)))

    materialize(store, pl.concat([states(1, (1, "north", 1.0, 1.0)), states(2, (1, "north", 3.0, 3.0))]))

    assert online(store, (1, "north"), (2, "north")) == [{"mean": 3.0, "count": 3.0}, {"mean": None, "count": None}]


@contextmanager
def cut_before_the_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a materialization end once its values are written, before its state says so."""
    save = feature_store._write_state

    def cut(repository: Any, view: FeatureView, state: OnlineState, at: datetime) -> None:
        if state.content:
            raise ZeroDivisionError
        save(repository, view, state, at)

    with monkeypatch.context() as cutting:
        cutting.setattr(feature_store, "_write_state", cut)
        yield


def test_a_materialization_that_was_cut_short_is_mended_by_the_next(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = states(1, (1, "north", 1.0, 1.0))
    materialize(store, first)
    second = states(2, (1, "north", 2.0, 2.0), (2, "north", 2.0, 2.0))
    with cut_before_the_state(monkeypatch), pytest.raises(ZeroDivisionError):
        materialize(store, pl.concat([first, second]))

    state = store.state(PAIRS)
    materialize(store, pl.concat([first, second, states(3, (1, "north", 3.0, 3.0))]))

    assert state is not None
    assert state.known_at == known(1)  # who is cut short claims nothing
    assert online(store, (1, "north"), (2, "north")) == [{"mean": 3.0, "count": 3.0}, {"mean": None, "count": None}]


def test_two_views_and_two_pipelines_share_a_store(store: FeatureStore) -> None:
    other = replace(PAIRS, features={"mean": "3a"}, by={"zone": "int32"})
    walks = replace(PAIRS, pipeline="walks")
    materialize(store, states(1, (1, "north", 1.0, 1.0)))
    materialize(store, states(1, (1, "north", 2.0, 2.0)).drop("area", "count"), other)
    materialize(store, states(1, (1, "north", 3.0, 3.0)), walks)

    assert online(store, (1, "north")) == [{"mean": 1.0, "count": 1.0}]
    assert online(store, (1,), view=other) == [{"mean": 2.0}]
    assert online(store, (1, "north"), view=walks) == [{"mean": 3.0, "count": 3.0}]
    with store.feast([PAIRS, other]) as feast:
        assert len(feast.list_feature_views()) == 3


@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
def test_a_store_that_is_down_is_named_without_its_password(tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}://somebody:secret@127.0.0.1:{free_port()}/0"
    store = FeatureStore(root=tmp_path, online_url=url)

    with pytest.raises(OnlineStoreDown) as reading:
        online(store, (1, "north"))
    with pytest.raises(OnlineStoreDown) as writing:
        materialize(store, states(1, (1, "north", 1.0, 1.0)))

    assert "secret" not in f"{reading.value}{writing.value}"
    assert "online store" in str(reading.value)
    assert "PERENNIAL_ONLINE_STORE" in str(writing.value)


@pytest.mark.parametrize("url", ["mysql://somewhere", "online.db"])
def test_an_address_of_no_known_store_is_refused(url: str) -> None:
    for opening in (open_reader, online_config):
        with pytest.raises(PerennialError, match="sqlite:///FILE, redis://"):
            opening(url)


def test_a_password_with_a_comma_or_digits_only_reaches_redis_whole() -> None:
    address = online_config("rediss://user:0123@127.0.0.1:7000/2")["connection_string"]

    assert address == (
        '127.0.0.1:7000,db=2,socket_timeout=30,socket_connect_timeout=5,ssl=true,username="user",password="0123"'
    )


def test_feast_leaves_no_variable_behind_that_child_processes_would_inherit(tmp_path: Path) -> None:
    program = f"""
import os
before = dict(os.environ)
from pathlib import Path
from perennial.featurization.views import FeatureView
from perennial.stores.online.feature_store import FeatureStore
view = FeatureView(pipeline="rides", by={{"zone": "int32"}}, features={{"mean": "1a"}})
FeatureStore(root=Path({str(tmp_path)!r}), online_url="sqlite:///{tmp_path / "online.db"}").state(view)
import prometheus_client
prometheus_client.Counter("still", "Counts as before.").inc()
print([name for name in os.environ if name.startswith("PROMETHEUS") and name not in before])
"""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS")}

    ran = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr


def test_feasts_classes_are_not_compiled_anew_and_those_of_others_still_may_be(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from perennial.featurization.views import FeatureView
from perennial.stores.online.feature_store import FeatureStore
view = FeatureView(pipeline="rides", by={{"zone": "int32"}}, features={{"mean": "1a"}})
FeatureStore(root=Path({str(tmp_path)!r}), online_url="sqlite:///{tmp_path / "online.db"}").state(view)
from perennial.time import days
import feast, typeguard
functions = feast.Entity.__init__, typeguard.typechecked(days)
print(["TypeCheckMemo" in function.__code__.co_names for function in functions])
"""

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stdout) == (0, "[False, True]\n"), ran.stderr


def rows_at(*entities: tuple[int, datetime]) -> pl.DataFrame:
    """Rows of zones in the north, each with its time."""
    zones, times = zip(*entities, strict=True)
    columns = {"zone": pl.Series(zones, dtype=pl.Int32), "t": pl.Series(times, dtype=pl.Datetime("us", "UTC"))}
    return pl.DataFrame(columns).with_columns(area=pl.lit("north"))


class TestOffline:
    """Feast's own point-in-time join over the files."""

    @pytest.fixture
    def local(self, tmp_path: Path) -> FeatureStore:
        store = FeatureStore(root=tmp_path / "feature_store", online_url=f"sqlite:///{tmp_path / 'online.db'}")
        for day in range(1, 5):
            rows = [(zone, "north", 10.0 * day + zone, float(day)) for zone in range(3) if (zone + day) % 3]
            store.save_offline(PAIRS, f"2024-01-{day:02}", states(day, *rows))
        return store

    def test_a_row_sees_the_newest_value_known_at_its_own_time(self, local: FeatureStore) -> None:
        before, after = known(2) - timedelta(microseconds=1), known(2)
        rows = rows_at((0, before), (0, after), (9, after))

        joined = local.join(rows, PAIRS, at="t")

        assert joined["mean"].to_list() == [10.0, 20.0, None]
        assert_frame_equal(joined.select(rows.columns), rows)

    def test_a_row_before_all_values_stays_with_nulls(self, local: FeatureStore) -> None:
        rows = rows_at((0, KNOWN - timedelta(days=9)), (0, known(4)))

        assert local.join(rows, PAIRS, at="t")["mean"].to_list() == [None, 40.0]

    def test_saving_a_partition_again_writes_equal_bytes(self, local: FeatureStore) -> None:
        path = local.save_offline(PAIRS, "2024-01-09", states(9, (1, "b", 1.0, 1.0), (1, "a", 2.0, 1.0)))
        content = path.read_bytes()

        assert local.save_offline(PAIRS, "2024-01-09", states(9, (1, "a", 2.0, 1.0), (1, "b", 1.0, 1.0))) == path
        assert path.read_bytes() == content

    def test_a_registry_of_an_older_declaration_is_brought_up_to_date(self, local: FeatureStore) -> None:
        registered(local, PAIRS)
        changed = replace(PAIRS, features={"mean": "2a", "count": "1b"})

        view = registered(local, changed)

        assert view.tags[HASH] == changed.hash
        assert view.batch_source.path == str(local.folder(changed)) != str(local.folder(PAIRS))
