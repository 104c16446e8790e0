"""Aggregates: entities' last days, computed by range, joined as known, renewed when what they rest on changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from perennial import Rolling
from perennial.content import content_hash
from perennial.featurization.point_in_time import DEFAULTED
from pipelines.delivery_eta import delivery_eta
from resources.runs import RunResult
from tests.assets.house import House, copy_of, open_house, simulate_days

DAYS = ("2024-01-01", "2024-01-08")
BAD = "2024-01-03"
FIRST = ["2024-01-01", "2024-01-02", BAD, "2024-01-04"]
MEAN, COUNT = "restaurant_mean_minutes_3d", "restaurant_zone_count_2d"
PIPELINE = replace(
    delivery_eta,
    aggregates=[
        Rolling(by="restaurant", of="label", how="mean", days=3),
        Rolling(by=("restaurant", "zone"), how="count", days=2, default=0.0),
    ],
)
NAMES = ("landed", "accepted", "quarantined", "partials", "aggregates", "features", "labels")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, RunResult]]:
    """Eight days, one of them bad, after one run over all."""
    root = tmp_path_factory.mktemp("built") / "home"
    simulate_days(root, *DAYS)
    with open_house(root, pipeline=PIPELINE) as house:
        house.rewrite(BAD, -pl.col("distance_km"))
        yield house, house.run(*NAMES, keys=DAYS)


@pytest.fixture(scope="module")
def closed(built: tuple[House, RunResult]) -> Path:
    return built[0].home.root


def frame(house: House, name: str, *keys: str) -> pl.DataFrame:
    return house.tables.read(house.pipeline, name, list(keys))


def test_the_first_partition_has_defaults_and_says_so(built: tuple[House, RunResult]) -> None:
    rows = frame(built[0], "features", "2024-01-01")

    assert set(rows[DEFAULTED]) == {f"{MEAN},{COUNT}"}
    assert rows[MEAN].null_count() == rows.height
    assert set(rows[COUNT]) == {0.0}


def test_a_row_holds_the_mean_of_the_days_before_it(built: tuple[House, RunResult]) -> None:
    house, _ = built
    features = frame(house, "features", "2024-01-06").join(
        frame(house, "accepted", "2024-01-06").select("order_id", name="restaurant"), on="order_id"
    )
    before = frame(house, "accepted", "2024-01-04", "2024-01-05")
    minutes = (pl.col("delivered_at") - pl.col("ordered_at")).dt.total_seconds() / 60
    means = before.group_by("restaurant").agg(minutes.mean().alias("expected"))

    joined = features.join(means, left_on="name", right_on="restaurant", how="left")

    assert joined[MEAN].cast(pl.Float64).to_list() == pytest.approx(joined["expected"].to_list(), rel=1e-6)


def test_a_blocked_partition_is_left_out_and_the_days_behind_it_go_on(built: tuple[House, RunResult]) -> None:
    house, result = built

    records = house.tables.records(house.pipeline, "aggregates")

    assert not result.success
    assert {error.kind for error in result.errors} == {"PartitionBlocked"}
    assert [key for key, record in records.items() if record.status == "ok"] == house.pipeline.time.keys(*DAYS)
    assert records["2024-01-05"].provenance["left_out"] == [f"{BAD}/1"]
    assert set(house.tables.records(house.pipeline, "features")) == {*house.pipeline.time.keys(*DAYS)} - {BAD}


def test_a_second_run_writes_nothing(built: tuple[House, RunResult], closed: Path, tmp_path: Path) -> None:
    with copy_of(closed, tmp_path / "home", pipeline=PIPELINE) as house:
        before = {name: house.tables.lakehouse.version(PIPELINE.table(name)) for name in NAMES}

        house.run(*NAMES, keys=DAYS)

        assert {name: house.tables.lakehouse.version(PIPELINE.table(name)) for name in NAMES} == before


def test_day_by_day_and_all_at_once_end_with_the_same_rows(built: tuple[House, RunResult], tmp_path: Path) -> None:
    simulate_days(tmp_path / "home", *DAYS)
    with open_house(tmp_path / "home", pipeline=PIPELINE) as house:
        house.rewrite(BAD, -pl.col("distance_km"))

        for key in FIRST:
            house.run(*NAMES, keys=key)

        for name in NAMES[3:]:
            alone, together = (
                {key: record.content_hash for key, record in each.tables.records(PIPELINE, name).items()}
                for each in (house, built[0])
            )
            assert (name, alone) == (name, {key: together[key] for key in alone})
            assert set(alone) >= {*FIRST} - {BAD}


def test_what_is_read_of_each_table_is_what_its_manifest_records(built: tuple[House, RunResult]) -> None:
    house, _ = built
    for name in NAMES:
        records = {key: record for key, record in house.tables.records(PIPELINE, name).items() if record.rows}
        whole = house.tables.read(PIPELINE, name, list(records)).partition_by("partition", as_dict=True)

        recorded = {key: record.content_hash for key, record in records.items()}
        assert (name, house.hashes([name])[name]) == (name, recorded)
        assert {str(key): content_hash(part) for (key,), part in whole.items()} == recorded


def test_a_mended_partition_puts_what_left_it_out_out_of_date(
    built: tuple[House, RunResult], closed: Path, tmp_path: Path
) -> None:
    with copy_of(closed, tmp_path / "home", pipeline=PIPELINE) as house:
        house.rewrite(BAD, -pl.col("distance_km"))

        house.run(*NAMES, keys=BAD)

        standing = house.tables.standing(PIPELINE)
        problems = {key: standing.problem_with("aggregates", key) for key in PIPELINE.time.keys(*DAYS)}
        assert problems["2024-01-02"] is None
        assert problems["2024-01-05"] == "aggregates is out of date: partials have changed"
        assert standing.problem_with("features", "2024-01-06") == "features is out of date: aggregates have changed"


def test_a_window_whose_partials_were_never_made_is_blocked(tmp_path: Path) -> None:
    simulate_days(tmp_path / "home", *DAYS)
    with open_house(tmp_path / "home", pipeline=PIPELINE) as house:
        house.run("landed", "accepted", "quarantined", keys=("2024-01-01", "2024-01-02"))

        result = house.run(*NAMES, keys="2024-01-02")

        assert "aggregates of 2024-01-01: aggregates is missing" in str(result.errors[0])
        assert house.tables.records(PIPELINE, "aggregates") == house.tables.records(PIPELINE, "features") == {}


def test_the_ui_shows_values_and_the_highest_entities(built: tuple[House, RunResult]) -> None:
    house, _ = built
    found = house.instance.fetch_materializations(house.key("aggregates"), limit=1).records[0]

    assert found.asset_materialization
    metadata = found.asset_materialization.metadata

    assert {"entities restaurant", "entities restaurant+zone", "values", "highest restaurant"} <= set(metadata)
    assert MEAN in str(metadata["values"].value)
