"""Maintenance of a real home: what a released model was made from is read again after years of corrections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from perennial.content import content_hash
from perennial.maintenance import Keep
from resources.upkeep import maintain_home
from tests.assets.house import House, copy_of
from tests.journeys.conftest import LAST, ROWS

AT_ONCE = Keep(old_versions=timedelta(0), small_files=2, bundles=timedelta(0), reports=timedelta(0), runs=timedelta(0))
LATER = datetime.now(UTC) + timedelta(days=400)


@pytest.fixture
def house(released: Path, tmp_path: Path) -> Iterator[House]:
    with copy_of(released, tmp_path / "home") as house:
        yield replace(house, illustrated=True)  # old pages are what goes


def manifest(house: House) -> dict[str, Any]:
    champion = house.tables.operations.champion(house.pipeline.name)
    assert champion is not None
    return {"sha256": champion.bundle_sha256, **dict(champion.attributes)}


def as_the_model_saw_it(house: House, versions: dict[str, int]) -> dict[str, dict[str, str]]:
    """The content hash of each slot of the tables that the model names, at the versions it names."""
    found: dict[str, dict[str, str]] = {}
    for name, version in versions.items():
        rows = house.tables.lakehouse.scan(house.pipeline.table(name), version=version).collect()
        by = [column for column in ("partition", "revision") if column in rows.columns]
        parts = rows.partition_by(by, as_dict=True, maintain_order=True)
        found[name] = {str(key): content_hash(part) for key, part in parts.items()}
    return found


def test_a_released_model_keeps_its_training_data_and_goes_on_serving(house: House) -> None:
    model = manifest(house)
    versions = model["table_versions"]
    seen = as_the_model_saw_it(house, versions)
    standing = house.hashes(ROWS)
    for day in (LAST, "2024-01-10"):
        house.rewrite(day, (pl.col("distance_km") + 0.01).alias("distance_km"))
        assert house.run(*ROWS, keys=day).success
    after = house.hashes(ROWS)
    assert after != standing

    report = maintain_home(house.home, house.instance, now=LATER, keep=AT_ONCE)
    second = maintain_home(house.home, house.instance, now=LATER, keep=AT_ONCE)

    assert report.refused == {}
    assert report.size > 0
    assert {hold.version for hold in report.holds} >= set(versions.values())
    assert second.size == 0
    assert as_the_model_saw_it(house, versions) == seen
    assert house.hashes(ROWS) == after
    assert (house.home.bundles / model["sha256"]).is_dir()
    for name in ROWS:
        assert len(house.instance.get_materialized_partitions(house.key(name))) == 45
    house.rewrite("2024-01-11", (pl.col("distance_km") + 0.01).alias("distance_km"))
    assert house.run(*ROWS, keys="2024-01-11").success
