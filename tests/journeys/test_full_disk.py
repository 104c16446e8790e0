"""Full disk: what does not fit is one clear error, and what stood before stays readable."""

from __future__ import annotations

import resource
from pathlib import Path

import polars as pl
import pytest

from perennial.errors import PerennialError
from pipelines.delivery_eta import delivery_eta
from tests.assets.house import House, open_house, simulate_days
from tests.clock import FixedClock
from tests.journeys.killing import AT, side_by_side

DAY = "2024-01-01"
LIMIT = 2_000_000
"""Bytes of a file that the disk takes: enough for every database, too little for the rows."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A home with one landed day, whose file has long random texts since."""
    root = tmp_path / "home"
    simulate_days(root, DAY, DAY)
    with open_house(root) as house:
        assert house.run("landed", "accepted", "quarantined", keys=DAY).success
        noise = [(pl.col("order_id") + str(n)).hash().cast(pl.String) for n in range(900)]
        house.rewrite(DAY, pl.concat_str(noise).alias("restaurant"))
        assert house.file(DAY).stat().st_size > 1.2 * LIMIT
    return root


def _land(root: Path) -> list[str]:
    """Land the day on a disk that takes no file above LIMIT; what went wrong."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
    with open_house(root, clock=FixedClock(AT)) as house:
        return [str(error) for error in house.run("landed", keys=DAY).errors]


def test_a_disk_that_fills_while_landing_keeps_the_old_revision(root: Path) -> None:
    with open_house(root) as house:
        before = house.hashes(), house.tables.history(delivery_eta, "landed"), parquet_files(house)

    [errors] = side_by_side((_land, (root,)))

    assert len(errors) == 1
    assert "delivery_eta/landed: the table cannot be written, found file too large" in errors[0]
    assert "what stood before stays readable" in errors[0]
    with open_house(root, clock=FixedClock(AT)) as house:
        assert (house.hashes(), house.tables.history(delivery_eta, "landed"), parquet_files(house)) == before
        assert house.run("landed", keys=DAY).success
        assert house.tables.records(delivery_eta, "landed")[DAY].revision == 2


def test_a_disk_that_fills_while_a_large_partition_lands_leaves_no_part(root: Path) -> None:
    """A partition of which nothing was ever accepted goes through in parts when it comes again."""
    with open_house(root) as house:
        table = Path(house.home.lake) / "delivery_eta" / "landed"
        with house.tables.writer(delivery_eta, "landed", DAY, 9) as _:
            before = parquet_files(house)

    [errors] = side_by_side((_write_parts, (root,)))

    assert "delivery_eta/landed: the table cannot be written, found file too large" in errors
    with open_house(root) as house:
        assert parquet_files(house) == before
        assert table.is_dir()


def _write_parts(root: Path) -> str:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
    with open_house(root) as house:
        rows = pl.read_parquet(house.file(DAY)).with_columns(partition=pl.lit(DAY))
        try:
            with house.tables.writer(delivery_eta, "landed", DAY, 9) as written:
                written.add(rows.head(2))
                written.add(rows)
                written.commit()
        except PerennialError as error:
            return str(error)
    return "nothing went wrong"


def parquet_files(house: House) -> set[str]:
    return {str(path) for path in Path(house.home.lake).rglob("*.parquet")}
