"""Online: what a server reads is what the lake knows newest, and Feast's own join over the files is ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from perennial import Rolling
from perennial.featurization.views import FeatureView, feature_views
from perennial.stores.lake.aggregates import read_states, with_aggregates
from perennial.stores.lake.tables import Outcome
from perennial.stores.online import open_reader
from perennial.stores.online.encoding import EntityKeys
from perennial.stores.online.feature_store import FeatureStore
from pipelines.delivery_eta import delivery_eta
from tests.assets.house import House, copy_of, open_house, simulate_days
from tests.lake import AT
from tests.servers import free_port

DAYS = ("2024-01-01", "2024-01-06")
KEYS = [f"2024-01-0{day}" for day in range(1, 7)]
PIPELINE = replace(
    delivery_eta,
    aggregates=[
        Rolling(by="restaurant", of="label", how="mean", days=2),
        Rolling(by="restaurant", how="count", days=2, default=0.0),
        Rolling(by=("restaurant", "zone"), how="count", days=3),
    ],
)
DATA = ("landed", "accepted", "quarantined", "partials", "aggregates")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Six days with their aggregates, the last of them not online yet."""
    root = tmp_path_factory.mktemp("built") / "home"
    simulate_days(root, *DAYS)
    with open_house(root, pipeline=PIPELINE) as house:
        assert house.run(*DATA, keys=DAYS).success
        assert house.run("online_features", keys=(KEYS[0], KEYS[4])).success
        yield house


@pytest.fixture
def house(built: House, tmp_path: Path) -> Iterator[House]:
    """A copy of one's own."""
    with copy_of(built.home.root, tmp_path / "home", pipeline=PIPELINE) as copy:
        yield copy


def store_of(house: House) -> FeatureStore:
    return FeatureStore(root=house.home.feature_store, online_url=house.home.online_store)


def read_online(house: House, view: FeatureView, entities: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """What a server reads of `entities`; nothing for one without values."""

    async def read() -> list[dict[str, Any]]:
        reader, keys = open_reader(house.home.online_store), EntityKeys(view.by)
        rows = await reader.read(view.pipeline, view.name, list(view.features), [keys.encode(e) for e in entities])
        await reader.close()
        return [{name: v for name, v in rows.get(keys.encode(e), {}).items() if v is not None} for e in entities]

    return asyncio.run(read())


def in_the_lake(house: House, view: FeatureView, key: str) -> dict[tuple[Any, ...], dict[str, float]]:
    """By entity: its values at the end of partition `key`."""
    rows = view.rows(read_states(house.tables, PIPELINE, [key]), PIPELINE)
    named = rows.filter(pl.any_horizontal(pl.col(list(view.features)).is_not_null())).to_dicts()
    return {
        tuple(row[name] for name in view.by): {n: row[n] for n in view.features if row[n] is not None} for row in named
    }


@pytest.mark.parametrize("view", feature_views(PIPELINE), ids=lambda view: view.name)
def test_online_is_the_newest_end_that_the_lake_knows_although_a_middle_of_the_range_ran(
    built: House, view: FeatureView
) -> None:
    newest = in_the_lake(built, view, "2024-01-06")
    ever = {entity for key in KEYS for entity in in_the_lake(built, view, key)}

    state = store_of(built).state(view)

    assert state is not None
    assert (state.partition, state.entities) == ("2024-01-06", len(newest))
    assert state.known_at == PIPELINE.time.known_at("2024-01-06")
    assert dict(zip(sorted(ever), read_online(built, view, sorted(ever)), strict=True)) == {
        entity: newest.get(entity, {}) for entity in ever
    }


def test_running_again_writes_nothing(house: House) -> None:
    (view, *_) = feature_views(PIPELINE)
    before = store_of(house).state(view)

    assert house.run("online_features", keys=DAYS).success

    assert store_of(house).state(view) == before


def test_a_correction_of_an_old_day_comes_online_with_its_new_values(house: House) -> None:
    (view, *_) = feature_views(PIPELINE)
    house.rewrite("2024-01-06", pl.col("delivered_at") + pl.duration(minutes=5))

    assert house.run(*DATA, "online_features", keys="2024-01-06").success

    newest = in_the_lake(house, view, "2024-01-06")
    assert read_online(house, view, list(newest)) == list(newest.values())


def test_a_store_that_is_down_fails_its_step_alone(house: House) -> None:
    changed = replace(house.home, online_store=f"redis://127.0.0.1:{free_port()}/0")
    alone = replace(house, home=changed)

    result = alone.run("aggregates", "online_features", keys="2024-01-06")

    assert not result.success
    assert [(error.step.rpartition("__")[2], error.kind) for error in result.errors] == [
        ("online_features", "OnlineStoreDown")
    ]
    assert house.tables.records(PIPELINE, "aggregates")["2024-01-06"].status == "ok"


def test_feast_joins_as_the_pipeline_does(house: House) -> None:
    assert house.run("online_features", keys=DAYS).success
    rows = house.tables.read(PIPELINE, "accepted", KEYS).select(
        "event_time", "known_at", "partition", "restaurant", "zone"
    )
    ours = with_aggregates(house.tables, PIPELINE, rows)

    for view in feature_views(PIPELINE):
        theirs = store_of(house).join(rows, view, at="event_time")

        for name in view.features:  # Feast knows no defaults
            default = next(a.default for a in PIPELINE.checked_aggregates if a.name == name)
            expected = theirs[name].fill_null(default) if default is not None else theirs[name]
            assert_frame_equal(ours.select(pl.col(name).cast(pl.Float64)), expected.to_frame())
            assert 0 < theirs[name].null_count() < rows.height


def test_feasts_files_say_who_has_left_whichever_day_came_last(tmp_path: Path) -> None:
    simulate_days(tmp_path / "home", *DAYS)
    with open_house(tmp_path / "home", pipeline=PIPELINE) as house:
        assert house.run(*DATA[:-1], keys=DAYS).success

    def files(name: str, order: list[str]) -> dict[str, pl.DataFrame]:
        with copy_of(tmp_path / "home", tmp_path / name, pipeline=PIPELINE) as house:
            assert all(house.run("aggregates", "online_features", keys=key).success for key in order)
            found = sorted(house.home.feature_store.glob("*/by_*/*.parquet"))
            return {f"{path.parent.name}/{path.name}": pl.read_parquet(path) for path in found}

    forward, backward = files("forward", KEYS), files("backward", KEYS[::-1])
    left = {name: rows.filter(pl.all_horizontal(pl.selectors.float().is_null())) for name, rows in forward.items()}

    assert len(forward) == len(KEYS) * len(feature_views(PIPELINE))
    assert sum(rows.height for rows in left.values()) > 0
    assert not any(rows.height for name, rows in left.items() if name.endswith(f"{KEYS[0]}.parquet"))
    assert backward.keys() == forward.keys()
    for name, rows in forward.items():
        assert_frame_equal(rows, backward[name])


def test_a_day_whose_aggregates_may_not_be_read_keeps_its_files(house: House) -> None:
    assert house.run("online_features", keys=DAYS).success
    before = {path: path.read_bytes() for path in house.home.feature_store.glob("*/by_*/*.parquet")}
    house.tables.block(PIPELINE, "aggregates", KEYS[2], Outcome(blocked="its rows are gone"), at=AT)

    assert house.run("online_features", keys=KEYS[1]).success

    assert before
    assert {path: path.read_bytes() for path in before} == before


def test_by_event_time_feast_would_see_what_was_not_known(house: House) -> None:
    """An hour after midnight a day has ended, and what it says is known an hour later."""
    assert timedelta(hours=1) < PIPELINE.time.known_after
    rows = house.tables.read(PIPELINE, "accepted", KEYS[2:4]).select("event_time", "partition", "restaurant", "zone")
    midnight = {key: PIPELINE.time.window(key).start for key in KEYS}
    soon = pl.col("partition").replace_strict(midnight, return_dtype=pl.Datetime("us", "UTC")) + timedelta(hours=1)
    rows = rows.with_columns(soon.alias("event_time"))
    view = feature_views(PIPELINE)[0]
    store, wrong = store_of(house), replace(store_of(house), root=house.home.root / "by_event_time")
    for key in KEYS:
        states = view.rows(read_states(house.tables, PIPELINE, [key]), PIPELINE)
        store.save_offline(view, key, states)
        wrong.save_offline(view, key, states.with_columns(pl.col("known_at") - PIPELINE.time.known_after))
    (name, *_) = view.features

    right, leaking = (one.join(rows, view, at="event_time")[name] for one in (store, wrong))

    known = with_aggregates(house.tables, PIPELINE, rows)[name].cast(pl.Float64)
    assert right.eq_missing(known).all()
    assert not leaking.eq_missing(known).any()
