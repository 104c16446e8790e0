"""By partition: one alone, looked at column by column, has the statistics that it has among others and in memory."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial.validation import by_partition
from perennial.validation.by_partition import Partitions
from perennial.validation.profiling import profile_partitions
from perennial.validation.seasons.summaries import summarize_partitions
from pipelines.delivery_eta import delivery_eta
from tests.perennial.validation.days import day

ROWS = day(0)

columns = st.lists(
    st.tuples(st.none() | st.integers(-2, 2), st.none() | st.sampled_from(["", "a", "b"])), min_size=1, max_size=30
).map(lambda rows: pl.DataFrame(rows, schema={"number": pl.Int64, "text": pl.String}, orient="row"))


@pytest.fixture
def one_column_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_partition, "VALUES", 1)


@given(frame=columns, most=st.integers(1, 4))
def test_a_partition_alone_counts_its_values_as_among_others(frame: pl.DataFrame, most: int) -> None:
    alone = frame.with_columns(partition=pl.lit("2024-01-01"))
    others = pl.concat([alone, frame.reverse().with_columns(partition=pl.lit("2024-01-02"))])

    for name in frame.columns:
        of_one, of_two = (
            partitions.ordered(partitions.read(pl.col(name))).commonest(name, most).collect()
            for partitions in (Partitions.of(alone), Partitions.of(others.lazy()))
        )
        found = of_two.filter(pl.col("partition") == "2024-01-01")
        assert of_one.drop("partition").rows() == found.drop("partition").rows()
        assert of_one["rows"].sum() <= frame[name].count()


@given(frame=columns)
def test_a_partition_alone_stands_beside_its_statistics_as_among_others(frame: pl.DataFrame) -> None:
    alone = frame.with_columns(partition=pl.lit("2024-01-01"))
    others = pl.concat([alone, frame.with_columns(pl.lit(7, pl.Int64).alias("number"), partition=pl.lit("2024-01-02"))])

    found = []
    for partitions in (Partitions.of(alone), Partitions.of(others)):
        values = partitions.ordered(partitions.read(pl.col("number")))
        least = values.statistics(pl.col("number").min().alias("least")).drop_nulls()
        (rows,) = values.collect(values.beside(least).frame)
        found.append(sorted(rows.filter(pl.col("partition") == "2024-01-01").select("number", "least").rows(), key=str))

    assert found[0] == found[1]


@st.composite
def changed(draw: st.DrawFn) -> pl.DataFrame:
    """Some rows of a day, with missing and broken values, and keys that repeat."""
    size = draw(st.integers(1, ROWS.height))
    broken = draw(st.sampled_from([None, float("nan"), float("inf"), -0.0]))
    every, repeated = draw(st.integers(1, 9)), draw(st.integers(0, 5))
    rows = ROWS.head(size).with_columns(
        pl.when(pl.int_range(pl.len()) % every == 0).then(broken).otherwise("distance_km").alias("distance_km"),
        pl.when(pl.int_range(pl.len()) % every == 1).then(None).otherwise("restaurant").alias("restaurant"),
    )
    return pl.concat([rows, rows.head(repeated)])


@given(rows=changed())
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_column_by_column_from_files_a_partition_has_the_summary_and_profile_of_the_whole(
    rows: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder: Path = tmp_path_factory.mktemp("parts")
    for number, part in enumerate(rows.iter_slices(97)):
        part.write_parquet(folder / f"{number:03}.parquet")
    summary = summarize_partitions(rows, delivery_eta, quarantined={rows["partition"][0]: 3})
    profile = profile_partitions(rows, delivery_eta.schema)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_partition, "VALUES", 1)
        lazy = pl.scan_parquet(folder)

        assert summarize_partitions(lazy, delivery_eta, quarantined={rows["partition"][0]: 3}).equals(summary)
        assert profile_partitions(lazy, delivery_eta.schema).equals(profile)


@pytest.mark.usefixtures("one_column_at_a_time")
def test_many_partitions_may_be_looked_at_column_by_column_too() -> None:
    days = pl.concat([day(0), day(1)])

    found = summarize_partitions(days.lazy(), delivery_eta)

    assert found.equals(pl.concat(summarize_partitions(each, delivery_eta) for each in (day(0), day(1))))


def test_as_many_columns_come_in_turn_as_memory_should_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_partition, "VALUES", 100)
    partitions = Partitions.of(pl.DataFrame({"partition": ["a"] * 40}))

    assert list(partitions.turns("abcde")) == ["ab", "cd", "e"]


def test_no_rows_have_no_turns_of_their_own() -> None:
    blank = pl.DataFrame({"partition": [], "x": []}, schema={"partition": pl.String, "x": pl.Float64})

    assert profile_partitions(blank.lazy()).is_empty()
    assert summarize_partitions(ROWS.clear().lazy(), delivery_eta).is_empty()
