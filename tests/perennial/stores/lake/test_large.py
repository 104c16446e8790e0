"""Large: a partition that goes through in parts ends as it would have gone through whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from perennial import Column, Files, Lookup, Schema, expect
from perennial.content import content_hash
from perennial.errors import LandedMeanwhile, PerennialError, SchemaSkew
from perennial.featurization.expressions import featurize_rows
from perennial.ingestion.landing import Arrival, land
from perennial.ingestion.lookups import BEGINNING, KnownVersions
from perennial.ingestion.timelines import KnownReadings, Readings
from perennial.labels.labelling import label_rows
from perennial.stores.lake import slots
from perennial.stores.lake.aggregates import joined_aggregates, with_aggregates
from perennial.stores.lake.lakehouse import Lakehouse
from perennial.stores.lake.large import Large
from perennial.stores.lake.tables import Tables, derived
from perennial.validation.verdicts import judge_partitions, split_rows
from pipelines.delivery_eta import delivery_eta
from tests.lake import AT, DAYS, arrival, fill, open_tables
from tests.weather import PIPELINE, WEATHER
from world.city import City

DAY = DAYS[0]
NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
DIRTY = replace(
    delivery_eta,
    aggregates=(),
    expectations=[
        *delivery_eta.expectations,
        expect.mean_between("distance_km", 1.0, 5.0),
        expect.unique("restaurant", "items").warn(),
    ],
)


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tables]:
    monkeypatch.setattr("perennial.stores.lake.tables.PART_ROWS", 97)
    tables = open_tables(tmp_path)
    yield tables
    tables.operations.close()


@pytest.fixture
def arrived(tmp_path: Path) -> Arrival:
    whole = arrival(City(), DAY)
    file = tmp_path / "orders.parquet"
    whole.frame.write_parquet(file, row_group_size=50)
    return replace(whole, rows=pl.scan_parquet(file))


def test_a_partition_in_parts_lands_divides_and_featurizes_as_a_whole(tables: Tables, arrived: Arrival) -> None:
    large = Large(tables=tables, pipeline=DIRTY)

    landed, _ = large.land(arrived, revision=1, at=AT)
    verdict, accepted = large.split(landed, at=AT)
    outcome = derived(DIRTY, "features", accepted)
    features, first = large.transform("features", accepted, outcome, lambda p: featurize_rows(p, DIRTY), at=AT)

    whole = land(DIRTY, arrived).frame
    split = split_rows(whole, DIRTY.judged, DIRTY.time)
    expected = judge_partitions(split, DIRTY.judged)[DAY]
    assert landed.content_hash == content_hash(whole)
    assert accepted.content_hash == content_hash(split.accepted)
    assert tables.records(DIRTY, "quarantined")[DAY].content_hash == content_hash(split.quarantined)
    assert features.content_hash == content_hash(featurize_rows(split.accepted, DIRTY))
    assert first.height == 97
    assert tables.read(DIRTY, "accepted", [DAY]).select(split.accepted.columns).equals(split.accepted)
    assert (verdict.landed, verdict.accepted, verdict.reason) == (expected.landed, expected.accepted, expected.reason)
    for found, wanted in zip(verdict.results, expected.results, strict=True):
        assert found.expectation == wanted.expectation
        assert (found.success, found.unexpected) == (wanted.success, wanted.unexpected), wanted.expectation.claim
        assert found.observed == pytest.approx(wanted.observed)
        assert found.share == pytest.approx(wanted.share)
        assert [row["row"] for row in found.examples] == [row["row"] for row in wanted.examples]


def test_rows_that_are_joined_in_parts_land_as_a_whole(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boroughs = Lookup(name="zones", source=Files("/zones.csv"), key="id", on="zone", columns={"borough": "string"})
    columns = {**PIPELINE.schema.columns, "borough": Column("string", source="zones.borough")}
    pipeline = replace(PIPELINE, lookups=[boroughs], schema=Schema(columns))
    told = pl.DataFrame(
        {
            "event_time": [NOON + timedelta(hours=n) for n in range(4)] * 2,
            "known_at": [NOON + timedelta(hours=n % 3) for n in range(8)],
            "its zone": ["a"] * 4 + ["b"] * 4,
            "weather.celsius": [float(n) for n in range(8)],
        }
    )
    versions = pl.DataFrame(
        {
            "known_from": [BEGINNING, NOON],
            "id": ["a", "a"],
            "borough": ["old", "new"],
            "uri": "",
            "sha256": "",
            "licence": "",
        }
    )
    window = pipeline.time.window("2024-01-02")
    beside = (
        KnownVersions(lookup=boroughs, versions=versions, window=window),
        KnownReadings(readings=Readings(pipeline=pipeline, timeline=WEATHER), told=told, origins=[]),
    )
    file = tmp_path / "rows.parquet"
    times = [datetime(2024, 1, 2) + timedelta(minutes=n) for n in range(1_440)]
    pl.DataFrame({"asked": times, "zone": ["a", "b", "c"] * 480}).write_parquet(file, row_group_size=50)
    rows = Arrival(
        partition="2024-01-02", rows=pl.scan_parquet(file), beside=beside, readings={"weather": "s"},
        uri="", sha256="", size=1, signature="", fetched_at=AT,
    )  # fmt: skip
    whole = land(pipeline, rows)

    monkeypatch.setattr("perennial.ingestion.landing.PART_ROWS", 97)
    assert len(list(rows.parts())) > 10
    record, notes = Large(tables=tables, pipeline=pipeline).land(rows, revision=1, at=AT)

    assert record.content_hash == content_hash(whole.frame)
    assert record.provenance == {**whole.provenance, "arrived_at": AT.isoformat()}
    assert notes == whole.notes
    assert notes[0] == "lookup zones: 960 of 1,440 rows have a key that it lacks"
    assert 0 < whole.frame["celsius"].null_count() < 1_440


def test_the_last_row_is_labelled_as_among_others_where_parts_would_leave_it_alone(
    tables: Tables, arrived: Arrival, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes = (pl.col("delivered_at") - pl.col("ordered_at")).dt.total_seconds() / 49
    pipeline = replace(DIRTY, label=replace(DIRTY.label, value=minutes))
    large = Large(tables=tables, pipeline=pipeline)
    landed, _ = large.land(arrived, revision=1, at=AT)
    _, accepted = large.split(landed, at=AT)
    rows = tables.read(pipeline, "accepted", {DAY: 1})
    for size in (2, 3, 7, 10, 97):
        monkeypatch.setattr("perennial.stores.lake.tables.PART_ROWS", size)

        outcome = derived(pipeline, "labels", accepted)
        labels, _ = large.transform("labels", accepted, outcome, lambda part: label_rows(part, pipeline), at=AT)

        assert labels.content_hash == content_hash(label_rows(rows, pipeline))
        sizes = [part.height for part in tables.parts(pipeline, "accepted", accepted, ["order_id"])]
        assert (sum(sizes), min(sizes) > 1) == (rows.height, True)


def test_states_that_several_parts_see_are_read_once(tmp_path: Path) -> None:
    tables = open_tables(tmp_path)
    fill(tables, delivery_eta)
    rows = tables.read(delivery_eta, "accepted", [DAYS[-1]]).sort("event_time")
    expected = with_aggregates(tables, delivery_eta, rows)
    joined = joined_aggregates(tables, delivery_eta)

    first = joined(rows)
    shutil.rmtree(tables.lakehouse.path(delivery_eta.table("aggregates")))

    assert first.equals(expected)
    assert joined(rows.reverse()).equals(expected.reverse())


def test_a_value_that_does_not_fit_in_a_late_part_lands_nothing(tables: Tables, arrived: Arrival) -> None:
    rows = arrived.frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 250).then(0.5).otherwise(pl.col("items")).alias("items")
    )

    with pytest.raises(SchemaSkew, match="items"):
        Large(tables=tables, pipeline=DIRTY).land(replace(arrived, rows=rows.lazy()), revision=1, at=AT)

    assert not tables.lakehouse.exists(DIRTY.table("landed"))
    assert tables.records(DIRTY, "landed") == {}
    assert not list(Path(tables.lakehouse.root).rglob("*.parquet"))


def test_the_same_partition_again_is_not_written_again(tables: Tables, arrived: Arrival) -> None:
    large = Large(tables=tables, pipeline=DIRTY)
    first, _ = large.land(arrived, revision=1, at=AT)

    again, _ = large.land(arrived, revision=1, at=AT)

    assert (again.table_version, again.content_hash) == (first.table_version, first.content_hash)
    assert tables.lakehouse.version(DIRTY.table("landed")) == first.table_version


def test_what_another_run_landed_meanwhile_stands_and_the_later_one_is_told_to_come_again(
    tables: Tables, arrived: Arrival
) -> None:
    large = Large(tables=tables, pipeline=DIRTY)
    theirs = replace(arrived, sha256="another file", rows=arrived.frame.tail(100).lazy())
    landed, _ = large.land(theirs, revision=1, at=AT)

    with pytest.raises(LandedMeanwhile, match="another run landed this partition meanwhile"):
        large.land(arrived, revision=1, at=AT)

    assert replace(tables.records(DIRTY, "landed")[DAY], written_at=None) == landed
    assert content_hash(tables.read(DIRTY, "landed", [DAY])) == landed.content_hash
    assert len(list(Path(tables.lakehouse.root).rglob("*.parquet"))) == 1


def test_what_was_committed_outlives_what_fails_after_it(tables: Tables) -> None:
    rows = pl.DataFrame({"partition": ["a"], "value": [1]})

    def write() -> None:
        with slots.SlotWriter(tables.lakehouse, "shop/landed", "a", 1) as written:
            written.add(rows)
            written.commit()
            raise PerennialError("the operations database cannot be written", where="shop")

    with pytest.raises(PerennialError):
        write()

    assert tables.lakehouse.read("shop/landed", partitions={"a": 1})["value"].to_list() == [1]


def test_a_new_feature_of_a_large_partition_is_a_column_of_its_table(tables: Tables, arrived: Arrival) -> None:
    large = Large(tables=tables, pipeline=DIRTY)
    landed, _ = large.land(arrived, revision=1, at=AT)
    _, accepted = large.split(landed, at=AT)
    longer = replace(DIRTY, features=[*DIRTY.features, (pl.col("distance_km") * 2).alias("there_and_back")])

    for pipeline in (DIRTY, longer):
        outcome = derived(pipeline, "features", accepted)
        step = Large(tables=tables, pipeline=pipeline)
        step.transform("features", accepted, outcome, partial(featurize_rows, pipeline=pipeline), at=AT)

    read = tables.read(longer, "features", [DAY])
    assert content_hash(read) == tables.records(longer, "features")[DAY].content_hash
    assert read["there_and_back"].sum() > 0


class Tended(Lakehouse):
    """A lake whose care changes a table as soon as a writer has looked at it."""

    def _open(self, table: str, version: int | None = None) -> DeltaTable:
        delta = Lakehouse._open(self, table, version)
        if delta.metadata().configuration.get("tended") is None:
            delta.alter.set_table_properties({"tended": "yes"}, raise_if_not_exists=False)
            return DeltaTable(self.path(table), version=delta.version() - 1)
        return delta


def test_a_slot_that_lost_against_the_care_of_the_lake_is_committed_again(tables: Tables) -> None:
    rows = pl.DataFrame({"partition": ["a"], "value": [1]})
    for value in (1, 2):
        with slots.SlotWriter(Tended(root=tables.lakehouse.root), "shop/landed", "a", 1) as written:
            written.add(rows.with_columns(value=value))
            written.commit()

    assert tables.lakehouse.read("shop/landed", partitions={"a": 1})["value"].to_list() == [2]


def test_a_slot_is_replaced_whole_and_its_neighbours_stay(tables: Tables) -> None:
    def write(key: str, revision: int, values: list[int]) -> None:
        frame = pl.DataFrame({"partition": [key] * len(values), "value": values}, schema_overrides={"value": pl.Int64})
        with slots.SlotWriter(tables.lakehouse, "shop/landed", key, revision) as writer:
            for part in frame.iter_slices(2) if values else [frame]:
                writer.add(part)
            writer.commit()

    for slot in (("a", 1, [1, 2, 3]), ("a", 2, [4]), ("b", 1, [5, 6, 7, 8, 9]), ("a", 1, [7, 8, 9, 10, 11])):
        write(*slot)
    write("a", 2, [])

    def values(key: str, revision: int) -> list[int]:
        return tables.lakehouse.read("shop/landed", partitions={key: revision})["value"].to_list()

    assert [values("a", 1), values("a", 2), values("b", 1)] == [[7, 8, 9, 10, 11], [], [5, 6, 7, 8, 9]]
