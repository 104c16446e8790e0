"""Maintain: the command says what it frees, whom it keeps what for, and a model retires only by name."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from cli.maintain import bytes_of
from perennial.graph.records import PartitionRecord
from perennial.settings import Home
from tests.cli.conftest import Command
from tests.lake import open_tables

AT = datetime(2024, 4, 1, tzinfo=UTC)


@pytest.fixture
def lake(home: Home) -> Path:
    """A table of twelve small files, which version 1 of a model names as it was before them."""
    tables = open_tables(home.root)
    rows = pl.DataFrame({"x": range(5)}).with_columns(partition=pl.lit("a"))
    version = tables.lakehouse.overwrite("eta/features", rows, partitions=["a"])
    record = PartitionRecord(partition="a", revision=1, content_hash="a", rows=5, table_version=version)
    tables.operations.record_partitions("eta", "features", [record], at=AT)
    tables.operations.register_version("eta", "0" * 64, "a", {"table_versions": {"features": version}}, at=AT)
    for _ in range(12):
        rows.write_delta(tables.lakehouse.path("eta/features"), mode="append")
    return Path(tables.lakehouse.path("eta/features"))


def test_a_dry_run_shows_the_plan_and_changes_nothing(perennial: Command, lake: Path) -> None:
    before = DeltaTable(lake).version()

    said = perennial("maintain", "--dry-run")

    assert said.code == 0, said.errors
    assert "would be done" in said.output
    assert "compaction" in said.output
    assert "eta version 1 (as of a)" in said.output
    assert DeltaTable(lake).version() == before


def test_the_maintenance_compacts_and_a_second_one_has_nothing_to_do(perennial: Command, lake: Path) -> None:
    first = perennial("maintain", "eta")
    version = DeltaTable(lake).version()
    second = perennial("maintain", "eta")

    assert "13 files into 1" in first.output
    assert pl.read_delta(str(lake)).height == 65
    assert "compaction" not in second.output
    assert DeltaTable(lake).version() == version


def test_a_version_is_retired_by_name_with_a_reason_and_then_holds_nothing(perennial: Command, lake: Path) -> None:
    unknown = perennial("retire", "eta", "7")
    retired = perennial("retire", "eta", "1", "--reason", "replaced in 2023")
    after = perennial("maintain", "--dry-run")

    assert (unknown.code, retired.code) == (3, 0)
    assert "there are versions 1" in unknown.errors
    assert "version 1 is retired" in retired.output
    assert "eta version 1" not in after.output


def test_an_unknown_pipeline_is_one_line(perennial: Command, lake: Path) -> None:
    said = perennial("maintain", "nope")

    assert said.code == 1
    assert "found 'nope', expected one of eta" in said.errors


@pytest.mark.parametrize(("size", "shown"), [(0, "0 B"), (999, "999 B"), (2_500, "2.5 kB"), (3_100_000_000, "3.1 GB")])
def test_bytes_are_shown_as_a_person_reads_them(size: int, shown: str) -> None:
    assert bytes_of(size) == shown
