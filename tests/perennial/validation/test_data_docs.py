from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from perennial.time import Daily
from perennial.validation.data_docs import data_docs
from perennial.validation.expectations import (
    Expectation,
    between,
    in_partition,
    mean_between,
    not_null,
    rows_between,
    unique,
)
from perennial.validation.verdicts import split_rows

CALENDAR = Daily(start="2024-01-01", event_time="at")
LANDED = pl.DataFrame(
    {
        "partition": ["2024-01-02"] * 3 + ["2024-01-03"],
        "at": [datetime(2024, 1, 2, 9)] * 2 + [datetime(2024, 1, 5), datetime(2024, 1, 3)],
        "distance": [2.0, 4711.5, None, 1.0],
    }
)
EXPECTATIONS = [
    not_null("distance"),
    between("distance", 0, 100),
    in_partition("at"),
    rows_between(2),
    mean_between("distance", 0, 9),
    unique("at", "distance"),
]


def page_of(folder: Path, expectations: list[Expectation], partition: str = "2024-01-02") -> str:
    split = split_rows(LANDED, expectations, CALENDAR)
    return data_docs(split, partition, expectations, CALENDAR, folder=folder).read_text(encoding="utf-8")


def test_the_page_shows_every_expectation_and_the_values_that_failed(tmp_path: Path) -> None:
    page = page_of(tmp_path / "docs", EXPECTATIONS)

    for words in ("4711.5", "mean of distance", "accepted rows", "seconds outside the partition: at", "2024-01-02"):
        assert words in page
    assert "Values for given compound columns must be unique together" in page


def test_the_page_is_about_its_own_partition_only(tmp_path: Path) -> None:
    assert "4711.5" not in page_of(tmp_path, EXPECTATIONS, "2024-01-03")


def test_the_page_loads_and_links_nothing_elsewhere(tmp_path: Path) -> None:
    page = page_of(tmp_path, EXPECTATIONS)

    assert re.findall(r"https?://|<script|<link|<img", page) == []


@pytest.mark.parametrize("expectations", [[], [not_null("distance")], [rows_between(1)]])
def test_a_page_needs_no_particular_expectation(tmp_path: Path, expectations: list[Expectation]) -> None:
    assert page_of(tmp_path, expectations)
