"""Lakehouse: what is replaced, all of it and nothing else, on a disk and on an object store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, get_ident
from typing import Any
from urllib.parse import quote

import httpx
import polars as pl
import pytest
from deltalake import DeltaTable, TableFeatures
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from perennial.errors import PerennialError, SchemaSkew
from perennial.stores.lake import files, lakehouse, opened
from perennial.stores.lake.columns import widen
from perennial.stores.lake.compaction import merge_files
from perennial.stores.lake.files import Folder
from perennial.stores.lake.lakehouse import Lakehouse, replace_slots
from perennial.stores.lake.scanning import is_plain
from perennial.stores.lake.slots import SlotWriter

TABLE = "eta/landed"
HOUR = "2024-01-01T00:00:00+00:00"


def frame(rows: Mapping[str, list[int]]) -> pl.DataFrame:
    listed = [(key, value) for key, values in rows.items() for value in values]
    return pl.DataFrame(listed, schema={"partition": pl.String, "value": pl.Int64}, orient="row")


def rows_of(lake: Lakehouse, slots: Mapping[str, int]) -> list[int]:
    return lake.read(TABLE, partitions=slots)["value"].to_list()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Return the address of a real S3 server that has a bucket `lake`."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    address = "http://{}:{}".format(*moto.get_host_and_port())
    httpx.put(f"{address}/lake", headers={"host": address.removeprefix("http://")}).raise_for_status()
    yield address
    moto.stop()


@pytest.fixture(params=["disk", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lakehouse:
    if request.param == "disk":
        return Lakehouse(root=str(tmp_path / "run[1]"))
    for name, value in {
        "AWS_ENDPOINT_URL": request.getfixturevalue("bucket"), "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return Lakehouse(root=f"s3://lake/{tmp_path.name}")


def test_a_partition_is_written_read_and_written_again(lake: Lakehouse) -> None:
    lake.overwrite(TABLE, frame({"a": [3, 1], HOUR: [2], "c": []}), partitions={"a": 1, HOUR: 1, "c": 1})
    lake.overwrite(TABLE, frame({HOUR: [5, 4]}), partitions={HOUR: 1})

    assert rows_of(lake, {"a": 1, HOUR: 1, "c": 1}) == [5, 4, 3, 1]
    assert rows_of(lake, {"c": 1}) == []


def test_a_slot_in_parts_is_read_part_by_part_and_compacted(lake: Lakehouse) -> None:
    parts = [frame({HOUR: list(range(number, number + 1000))}) for number in (0, 5000)]
    with SlotWriter(lake, TABLE, HOUR, 1) as written:
        for part in parts:
            written.add(part)
        assert pl.concat(written.written())["value"].to_list() == pl.concat(parts)["value"].to_list()
        written.commit()
    delta = DeltaTable(lake.path(TABLE))

    merge_files(lake, TABLE, delta, f"partition={quote(HOUR)}/revision=1")

    assert rows_of(lake, {HOUR: 1}) == pl.concat(parts)["value"].to_list()
    delta.update_incremental()
    assert len(delta.file_uris()) == 1


def test_of_a_table_without_revisions_only_the_partitions_that_are_named_are_read(lake: Lakehouse) -> None:
    lake.overwrite(TABLE, frame({"a": [1], "b": [2], "c": [3]}), partitions=["a", "b", "c"])
    lake.overwrite(TABLE, frame({"b": [4]}), partitions=["b"])

    assert lake.read(TABLE, partitions=["c", "b", "none"])["value"].to_list() == [4, 3]
    assert lake.read(TABLE, partitions=[])["value"].to_list() == []


def test_partitions_are_read_in_order_and_each_as_it_was_written(lake: Lakehouse) -> None:
    for key in ("2024-02", "2024-01", "2024-03"):
        with SlotWriter(lake, TABLE, key, 1) as written:
            for number in (5, 1, 4, 2):
                written.add(frame({key: [number, 0]}))
            written.commit()

    rows = lake.read(TABLE, partitions=dict.fromkeys(("2024-03", "2024-01", "2024-02"), 1))

    assert rows["partition"].to_list() == [key for key in ("2024-01", "2024-02", "2024-03") for _ in range(8)]
    assert rows["value"].to_list() == [5, 0, 1, 0, 4, 0, 2, 0] * 3


def test_a_table_that_asks_more_of_its_readers_is_read_as_delta_means_it(tmp_path: Path) -> None:
    """Somebody else has let rows be deleted without their file."""
    lake = Lakehouse(root=str(tmp_path))
    lake.overwrite(TABLE, frame({"a": [1, 2]}), partitions={"a": 1})
    delta = DeltaTable(lake.path(TABLE))
    assert is_plain(delta)

    delta.alter.add_feature(TableFeatures.DeletionVectors, allow_protocol_versions_increase=True)

    assert not is_plain(DeltaTable(lake.path(TABLE)))
    assert rows_of(lake, {"a": 1}) == [1, 2]


SLOTS = st.dictionaries(
    st.sampled_from(["a", HOUR, "c d%41/e"]),
    st.tuples(st.integers(1, 3), st.lists(st.integers(0, 9), max_size=3)),
    min_size=1,
)


@settings(max_examples=25)
@given(writes=st.lists(SLOTS, min_size=1, max_size=4))
def test_only_the_slots_that_are_named_are_replaced(
    writes: list[dict[str, tuple[int, list[int]]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A write of revision 1 of one partition and 2 of another leaves 2 of the first and 1 of the other."""
    lake, holds = Lakehouse(root=str(tmp_path_factory.mktemp("lake"))), dict[tuple[str, int], list[int]]()
    for write in writes:
        lake.overwrite(
            TABLE,
            frame({key: values for key, (_, values) in write.items()}),
            partitions={key: revision for key, (revision, _) in write.items()},
        )
        holds |= {(key, revision): values for key, (revision, values) in write.items()}

    for (key, revision), values in holds.items():
        assert rows_of(lake, {key: revision}) == values
    assert lake.scan(TABLE).collect().height == sum(map(len, holds.values()))


def test_a_column_that_is_new_is_null_in_the_rows_before(tmp_path: Path) -> None:
    lake = Lakehouse(root=str(tmp_path))
    lake.overwrite(TABLE, frame({"a": [1]}), partitions={"a": 1})
    lake.overwrite(TABLE, frame({"b": [2]}).with_columns(more=pl.lit("x")), partitions={"b": 1})
    lake.overwrite(TABLE, frame({"c": [3]}), partitions={"c": 1})

    assert lake.read(TABLE, partitions={"a": 1, "b": 1, "c": 1})["more"].to_list() == [None, "x", None]


def test_a_disk_that_is_full_at_the_second_file_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lakehouse(root=str(tmp_path))
    lake.overwrite(TABLE, frame({"a": [1], "b": [1]}), partitions={"a": 1, "b": 1})
    write = Folder._write

    def full(self: Folder, rows: pl.DataFrame, path: str, **options: Any) -> int:
        size = write(self, rows, path, **options)
        if "partition=b" in path:
            raise OSError(28, files.NO_ROOM[0])
        return size

    monkeypatch.setattr(Folder, "_write", full)
    with pytest.raises(PerennialError, match=r"cannot be written.*no space left"):
        lake.overwrite(TABLE, frame({"a": [2], "b": [2]}), partitions={"a": 1, "b": 1})

    assert rows_of(lake, {"a": 1, "b": 1}) == [1, 1]
    assert len(list(Path(lake.path(TABLE)).rglob("*.parquet"))) == 2


def test_of_two_who_write_a_new_slot_at_once_one_is_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, together, first = Lakehouse(root=str(tmp_path)), Barrier(2), set[int]()
    lake.overwrite(TABLE, frame({"b": [0]}), partitions={"b": 1})

    def commit(delta: DeltaTable, *arguments: Any) -> None:
        if get_ident() not in first:  # both have read the log, and neither has committed
            first.add(get_ident())
            together.wait(10)
        replace_slots(delta, *arguments)

    monkeypatch.setattr(lakehouse, "replace_slots", commit)
    with ThreadPoolExecutor(2) as threads:
        versions = list(threads.map(lambda n: lake.overwrite(TABLE, frame({"a": [n]}), partitions={"a": 1}), (1, 2)))

    assert rows_of(lake, {"a": 1}) == [1 + versions.index(max(versions))]


def test_a_table_is_nobody_elses_between_two_commits_of_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, taken = Lakehouse(root=str(tmp_path)), list[Any]()
    lake.overwrite(TABLE, frame({"a": [1]}), partitions={"a": 1})

    def commit(*arguments: Any) -> None:
        replace_slots(*arguments)
        taken.append(opened.take(lake.path(TABLE)))

    monkeypatch.setattr(lakehouse, "replace_slots", commit)
    lake.overwrite(TABLE, frame({"a": [1], "b": [2]}), partitions={"a": 1, "b": 2})

    assert taken == [None, None]
    assert opened.take(lake.path(TABLE)) is not None


def test_a_column_that_another_added_meanwhile_with_its_own_type_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lakehouse(root=str(tmp_path))
    lake.overwrite(TABLE, frame({"a": [1]}), partitions={"a": 1})

    def later(*arguments: Any) -> None:
        monkeypatch.setattr(lakehouse, "widen", widen)
        lake.overwrite(TABLE, frame({"b": [2]}).with_columns(late=pl.lit("x")), partitions={"b": 1})
        widen(*arguments)

    monkeypatch.setattr(lakehouse, "widen", later)
    with pytest.raises(SchemaSkew, match="'late' has another type"):
        lake.overwrite(TABLE, frame({"a": [3]}).with_columns(late=pl.lit(1)), partitions={"a": 1})

    assert rows_of(lake, {"a": 1, "b": 1}) == [1, 2]
