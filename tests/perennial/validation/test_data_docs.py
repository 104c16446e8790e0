from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from perennial.schema import Column, Kind, Schema
from perennial.time import Daily
from perennial.validation.data_docs import data_docs
from perennial.validation.expectations import (
    Expectation,
    between,
    in_partition,
    in_set,
    matches,
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
        "mail": ["ada@example.org", "ada@example.org", "bob@example.org", "eve@example.org"],
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


def page_of(
    folder: Path, expectations: list[Expectation], partition: str = "2024-01-02", *, personal: tuple[str, ...] = ()
) -> str:
    kinds: dict[str, Kind] = {"at": "datetime", "distance": "float64", "mail": "string"}
    schema = Schema({name: Column(kind, pii=name in personal) for name, kind in kinds.items()})
    split = split_rows(LANDED, expectations, CALENDAR)
    page = data_docs(split, partition, expectations, CALENDAR, schema=schema, folder=folder)
    return page.read_text(encoding="utf-8")


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


def test_of_personal_data_it_shows_how_many_rows_fail_and_no_value(tmp_path: Path) -> None:
    rules = [matches("mail", "^zz"), in_set("mail", ["zz"]), unique("mail"), between("distance", 0, 100), unique("at")]

    page = page_of(tmp_path, [*rules, mean_between("distance", 0, 9)], personal=("mail", "distance", "at"))

    for value in ("ada@", "bob@", "4711.5", "2024-01-02 09", "2024-01-02T09"):
        assert value not in page
    assert "mail" in page
    assert "100%" in page
    assert "ada@" in page_of(tmp_path, rules)


@pytest.mark.parametrize("expectations", [[], [not_null("distance")], [rows_between(1)]])
def test_a_page_needs_no_particular_expectation(tmp_path: Path, expectations: list[Expectation]) -> None:
    assert page_of(tmp_path, expectations)
