import resource
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.errors import SourceError
from world.city import FIRST_DAY, LAST_DAY, City
from world.files import file_of, simulate, told_orders


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=10)
@given(first=st.dates(FIRST_DAY, LAST_DAY - timedelta(days=3)), count=st.integers(1, 3), seed=st.integers(0, 9))
def test_files_are_the_same_bytes_whenever_they_are_written(
    tmp_path_factory: pytest.TempPathFactory, first: date, count: int, seed: int
) -> None:
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    until = first + timedelta(days=count - 1)

    simulate(here, first, until, seed=seed)
    for day in (until, first):
        simulate(there, day, day, seed=seed)
    simulate(there, first, until, seed=seed)

    assert contents(here) == contents(there)
    assert len(contents(here)) == count


def test_a_file_holds_what_it_tells(tmp_path: Path) -> None:
    (path,) = simulate(tmp_path, FIRST_DAY, FIRST_DAY)

    assert path == file_of(tmp_path, FIRST_DAY)
    assert path.name == "orders_2024-01-01.parquet"
    assert pl.read_parquet(path).equals(told_orders(City(), FIRST_DAY))


def test_a_second_call_writes_missing_days_only_and_reports_every_day(tmp_path: Path) -> None:
    simulate(tmp_path, date(2024, 1, 1), date(2024, 1, 2))
    mine = file_of(tmp_path, date(2024, 1, 2))
    mine.write_bytes(b"someone else's")
    reported: list[date] = []

    written = simulate(tmp_path, date(2024, 1, 1), date(2024, 1, 4), on_day=reported.append)

    assert written == [file_of(tmp_path, date(2024, 1, 3)), file_of(tmp_path, date(2024, 1, 4))]
    assert mine.read_bytes() == b"someone else's"
    assert reported == [date(2024, 1, day) for day in (1, 2, 3, 4)]


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            simulate(tmp_path, FIRST_DAY, FIRST_DAY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("first", "until", "found"),
    [
        (date(2023, 12, 31), date(2024, 1, 2), "found 2023-12-31"),
        (date(2025, 12, 30), date(2026, 1, 1), "found 2026-01-01"),
        (date(2024, 1, 2), date(2024, 1, 1), "found 2024-01-02 to 2024-01-01"),
    ],
)
def test_an_impossible_range_is_refused_before_anything_is_written(
    tmp_path: Path, first: date, until: date, found: str
) -> None:
    with pytest.raises(SourceError, match=found):
        simulate(tmp_path / "world", first, until)

    assert not (tmp_path / "world").exists()
