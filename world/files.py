"""Files: the days of a city, as the files that a restaurant platform would export.

A day that is there is never written again; a day is there as a whole or not at all.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from perennial.errors import SourceError
from world.city import DRIFT_START, FIRST_DAY, City, check_day
from world.faults import add_faults


def simulate(
    folder: Path,
    first: date = FIRST_DAY,
    until: date = FIRST_DAY,
    *,
    seed: int = 7,
    drift_start: date | None = DRIFT_START,
    on_day: Callable[[date], None] | None = None,
) -> list[Path]:
    """Write the days from `first` to `until`, both included, that `folder` lacks; return what was written.

    `on_day` is called once for each day of the range. Raises SourceError, before anything is
    written, for a range outside the city's life.
    """
    _check_range(first, until)
    folder.mkdir(parents=True, exist_ok=True)
    city = City(seed=seed, drift_start=drift_start)
    written: list[Path] = []
    for day in (first + timedelta(days=number) for number in range((until - first).days + 1)):
        path = file_of(folder, day)
        if not path.exists():
            _write(path, told_orders(city, day))
            written.append(path)
        if on_day:
            on_day(day)
    return written


def file_of(folder: Path, day: date) -> Path:
    """Where the file of `day` lies."""
    return folder / f"orders_{day:%Y-%m-%d}.parquet"


def told_orders(city: City, day: date) -> pl.DataFrame:
    """The orders of `day` as its file tells them, faults included."""
    return add_faults(city.orders(day), city.rng(day, 2))


def _check_range(first: date, until: date) -> None:
    check_day(first)
    check_day(until)
    if until < first:
        raise SourceError(
            "the range of days to simulate ends before it begins",
            where="world",
            found=f"{first} to {until}",
            expected=f"a last day from {first} on",
        )


def _write(path: Path, orders: pl.DataFrame) -> None:
    """Write `orders` to `path`, whole or not at all."""
    content = io.BytesIO()
    orders.write_parquet(content, compression="zstd", statistics=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
