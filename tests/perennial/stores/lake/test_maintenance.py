"""Maintenance of the lake: small files become few, and what a registered model was made from stays readable."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable

from perennial.bundle.bundle import FILES, seal
from perennial.content import content_hash
from perennial.errors import VersionHeld
from perennial.graph.records import PartitionRecord
from perennial.maintenance import Hold, Keep, Report, check_nothing_held_goes
from perennial.settings import home_at
from perennial.stores.lake import maintenance
from perennial.stores.lake.lakehouse import Lakehouse
from perennial.stores.lake.maintenance import RETIREMENT, LakeCare
from perennial.stores.lake.slots import SlotWriter
from perennial.stores.models.bundles import BundleStore
from perennial.stores.production.inference_log import take_in
from perennial.stores.production.segments import SegmentWriter
from tests.lake import open_tables
from tests.records import a_record

AT = datetime(2024, 4, 1, tzinfo=UTC)
TABLE = "rides/features"
NOW = timedelta(0)
SPAWN = multiprocessing.get_context("spawn")
KILLS = 4


def rows(partition: str, *, revision: int = 1, start: int = 0, count: int = 50) -> pl.DataFrame:
    values = pl.DataFrame({"x": range(start, start + count)})
    return values.with_columns(partition=pl.lit(partition), revision=pl.lit(revision, pl.Int32))


@pytest.fixture
def care(tmp_path: Path) -> LakeCare:
    """A lake with two partitions of features, written once."""
    root = tmp_path / "home"
    tables = open_tables(root)
    lakehouse = tables.lakehouse
    version = lakehouse.overwrite(TABLE, pl.concat([rows("a"), rows("b")]), partitions={"a": 1, "b": 1})
    records = [
        PartitionRecord(partition=key, revision=1, content_hash=key, rows=50, table_version=version) for key in "ab"
    ]
    tables.operations.record_partitions("rides", "features", records, at=AT)
    return LakeCare(tables=tables, bundles=BundleStore(home_at(root).bundles))


def register(care: LakeCare, table_versions: Mapping[str, int] | None, attributes: Mapping[str, Any] = {}) -> int:
    """Register a model whose bundle says that it was made from `table_versions`."""
    named = {} if table_versions is None else {"table_versions": table_versions}
    manifest = {"pipeline": "rides", "as_of": "b", "training_set": {"content_hash": "rows", **named}}
    sha256 = care.bundles.put(seal(dict.fromkeys(FILES, b"{}"), manifest))
    return care.tables.operations.register_version("rides", sha256, "b", attributes, at=AT)


def hash_at(care: LakeCare, version: int | None = None) -> dict[str, str]:
    """The content hash of each partition and revision of the features, at a version."""
    found = care.tables.lakehouse.scan(TABLE, version=version).collect()
    parts = found.partition_by("partition", "revision", as_dict=True, maintain_order=True)
    return {f"{key} {revision}": content_hash(part) for (key, revision), part in parts.items()}


def scatter(care: LakeCare, partition: str, count: int, *, revision: int = 2) -> None:
    """Append `count` small files to a partition."""
    for number in range(count):
        rows(partition, revision=revision, start=number * 7, count=7).write_delta(
            care.tables.lakehouse.path(TABLE), mode="append"
        )


def vacuum(care: LakeCare, *, dry_run: bool = False) -> int:
    """Forget every old version at once, and return the bytes freed."""
    return care.vacuum(TABLE, care.holds("rides"), older_than=NOW, dry_run=dry_run).size


def test_the_version_that_a_registered_model_names_outlives_overwrite_compaction_and_vacuum(care: LakeCare) -> None:
    held = care.tables.lakehouse.version(TABLE)
    before = hash_at(care, held)
    number = register(care, {"features": held or 0})
    scatter(care, "a", 9)
    care.tables.lakehouse.overwrite(TABLE, rows("a", start=1000), partitions={"a": 1})
    middle = care.tables.lakehouse.version(TABLE)
    assert care.compact(TABLE, dry_run=False).done
    now = hash_at(care)
    care.tables.lakehouse.overwrite(TABLE, rows("b", start=2000), partitions={"b": 1})

    assert vacuum(care) > 0

    assert hash_at(care, held) == before
    assert {name: value for name, value in hash_at(care).items() if name != "b 1"} == {
        name: value for name, value in now.items() if name != "b 1"
    }
    with pytest.raises(FileNotFoundError):
        hash_at(care, middle)
    assert care.holds("rides") == [Hold(table=TABLE, version=held or 0, holder=f"rides version {number} (as of b)")]


def test_a_vacuum_that_would_take_a_held_file_is_refused_and_names_the_model(care: LakeCare) -> None:
    held = care.tables.lakehouse.version(TABLE) or 0
    files = {path for path, _ in maintenance._files(DeltaTable(care.tables.lakehouse.path(TABLE)))}
    register(care, {"features": held})

    with pytest.raises(VersionHeld, match=r"rides/features: version \d is held by rides version 1 \(as of b\)"):
        check_nothing_held_goes(TABLE, files, {held: files}, care.holds("rides"))


def test_a_retired_model_holds_nothing_and_no_model_retires_by_age(care: LakeCare) -> None:
    held = care.tables.lakehouse.version(TABLE)
    number = register(care, {"features": held or 0})
    care.tables.lakehouse.overwrite(TABLE, rows("a", start=1000), partitions={"a": 1})
    assert vacuum(care) == 0

    care.tables.operations.append_decision("rides", RETIREMENT, str(number), "replaced", at=AT, actor="a person")

    assert vacuum(care) > 0
    with pytest.raises(FileNotFoundError):
        hash_at(care, held)


def test_a_model_that_does_not_say_what_it_needs_keeps_everything(care: LakeCare) -> None:
    register(care, None)
    care.tables.lakehouse.overwrite(TABLE, rows("a", start=1000), partitions={"a": 1})

    report = LakeCare(tables=care.tables, bundles=care.bundles, keep=Keep(old_versions=NOW)).maintain(
        "rides", dry_run=False
    )

    assert report.size == 0
    assert "does not say which table versions" in report.refused["old versions of rides"]
    assert hash_at(care, 1)


def test_the_attributes_of_a_version_speak_where_its_bundle_is_gone(care: LakeCare) -> None:
    operations = care.tables.operations
    operations.register_version("rides", "0" * 64, "b", {"table_versions": {"features": 1}}, at=AT)

    assert [(hold.table, hold.version) for hold in care.holds("rides")] == [(TABLE, 1)]


def test_the_training_set_of_a_model_is_held_although_its_as_of_was_trained_again(care: LakeCare) -> None:
    provenance = {"content_hash": "rows"}
    for revision, name in ((1, "rows"), (2, "corrected rows")):
        record = PartitionRecord(
            partition="b",
            revision=revision,
            content_hash=name,
            rows=1,
            table_version=revision,
            provenance=provenance | {"content_hash": name},
        )
        care.tables.operations.record_partitions("rides", "training_set", [record], at=AT)
    register(care, {"features": 1})

    assert [(hold.table, hold.version) for hold in care.holds("rides")] == [(TABLE, 1), ("rides/training_set", 1)]


def test_nothing_goes_while_a_held_version_cannot_be_opened(care: LakeCare) -> None:
    register(care, {"features": 1})
    care.tables.lakehouse.overwrite(TABLE, rows("a", start=1000), partitions={"a": 1})
    DeltaTable(care.tables.lakehouse.path(TABLE)).create_checkpoint()
    for version in (0, 1):  # as Delta's own clean-up of the log does
        (Path(care.tables.lakehouse.path(TABLE)) / "_delta_log" / f"{version:020d}.json").unlink()

    report = LakeCare(tables=care.tables, bundles=care.bundles, keep=Keep(old_versions=NOW)).maintain(
        "rides", dry_run=False
    )

    assert report.size == 0
    assert "version 1, held by rides version 1 (as of b), cannot be opened" in report.refused[TABLE]


def test_compaction_leaves_rows_their_order_and_old_revisions_as_they_were(care: LakeCare) -> None:
    scatter(care, "a", 12)
    scatter(care, "b", 3, revision=1)
    before, version = hash_at(care), care.tables.lakehouse.version(TABLE)

    report = care.compact(TABLE, dry_run=False)
    again = care.compact(TABLE, dry_run=False)

    assert [done.items for done in report.done] == [12]
    assert again.done == ()
    assert hash_at(care) == before == hash_at(care, version)
    assert set(before) == {"a 1", "b 1", "a 2"}


def test_compaction_keeps_the_order_of_more_rows_than_a_thread_of_delta_takes_at_once(care: LakeCare) -> None:
    lakehouse, parts = (
        care.tables.lakehouse,
        [rows("a", revision=2, start=n, count=1_000) for n in range(0, 12_000, 1_000)],
    )
    with SlotWriter(lakehouse, TABLE, "a", 2) as written:
        for part in parts:
            written.add(part.drop("revision"))
        written.commit()

    assert care.compact(TABLE, dry_run=False).done

    read = lakehouse.read(TABLE, partitions={"a": 2})
    assert content_hash(read.drop("revision")) == written.content_hash
    assert read["x"].to_list() == list(range(12_000))


def test_old_versions_stay_readable_until_their_time_is_over(care: LakeCare) -> None:
    first = hash_at(care, 1)
    care.tables.lakehouse.overwrite(TABLE, rows("a", start=1000), partitions={"a": 1})

    assert care.vacuum(TABLE, [], older_than=timedelta(hours=1), dry_run=False).size == 0

    assert hash_at(care, 1) == first


def test_a_dry_run_names_the_bytes_and_removes_nothing(care: LakeCare) -> None:
    care.tables.lakehouse.overwrite(TABLE, rows("a", start=1000), partitions={"a": 1})
    folder = Path(care.tables.lakehouse.path(TABLE))
    before = {path: path.stat().st_size for path in folder.rglob("*.parquet")}

    promised = vacuum(care, dry_run=True)
    untouched = set(folder.rglob("*.parquet"))
    freed = vacuum(care)

    assert untouched == set(before)
    assert promised == freed == sum(size for path, size in before.items() if not path.exists()) > 0


def test_what_a_killed_writer_left_goes_with_the_old_versions(care: LakeCare) -> None:
    left = Path(care.tables.lakehouse.path(TABLE)) / "partition=a" / "revision=1" / "part-killed.parquet"
    left.write_bytes(b"half a file")
    month_ago = time.time() - 40 * 86_400
    os.utime(left, (month_ago, month_ago))
    young = left.with_name("part-being-written.parquet")
    young.write_bytes(b"a writer's")

    report = care.maintain("rides", dry_run=False)

    assert [(done.kind, done.items, done.size) for done in report.done] == [("old versions", 1, 11)]
    assert (left.exists(), young.exists()) == (False, True)


def test_the_commits_of_a_table_are_kept_whole_however_old_they_are(care: LakeCare) -> None:
    path = care.tables.lakehouse.path(TABLE)
    register(care, {"features": 1})
    before = hash_at(care, 1)
    for number in range(3):
        care.tables.lakehouse.overwrite(TABLE, rows("a", start=number), partitions={"a": 1})
    DeltaTable(path).create_checkpoint()
    scatter(care, "a", 9)
    care.maintain("rides", dry_run=False)
    last_year = time.time() - 400 * 86_400
    for commit in (Path(path) / "_delta_log").iterdir():
        os.utime(commit, (last_year, last_year))
    care.tables.lakehouse.overwrite(TABLE, rows("a", start=77), partitions={"a": 1})

    DeltaTable(path).create_checkpoint()
    DeltaTable(path).cleanup_metadata()

    assert hash_at(care, 1) == before


@dataclass(frozen=True, kw_only=True)
class Busy(LakeCare):
    """Care of a lake in which a writer commits whenever the table was looked at, `commits` times."""

    commits: list[int]

    def _open(self, table: str, version: int | None = None) -> DeltaTable:
        delta = LakeCare._open(self, table, version)
        if self.commits:
            self.tables.lakehouse.overwrite(TABLE, rows("a", revision=2, start=self.commits.pop()), partitions={"a": 2})
        return delta


@pytest.mark.parametrize(("commits", "compacted"), [(2, True), (9, False)])
def test_a_compaction_that_loses_against_writers_is_tried_again_or_left(
    care: LakeCare, commits: int, compacted: bool
) -> None:
    scatter(care, "a", 9)
    scatter(care, "b", 9, revision=1)
    before = hash_at(care)

    report = Busy(tables=care.tables, bundles=care.bundles, commits=list(range(commits))).compact(TABLE, dry_run=False)

    assert bool(report.done) is compacted
    assert ("rides/features" in report.refused) is not compacted
    assert {key: value for key, value in hash_at(care).items() if key != "a 2"} == {
        key: value for key, value in before.items() if key != "a 2"
    }
    assert hash_at(care)["a 2"] != before["a 2"]


def test_a_compaction_waits_for_a_writer_of_the_table_and_leaves_it_for_next_time(
    care: LakeCare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever slot it changed, the writer's commit would be refused."""
    monkeypatch.setattr("perennial.stores.operations.database.BUSY_SECONDS", 0.2)
    scatter(care, "a", 9)
    version, reports = care.tables.lakehouse.version(TABLE), list[Report]()
    compact = Thread(target=lambda: reports.append(care.compact(TABLE, dry_run=False)))

    with care.tables.operations.holding(TABLE):
        compact.start()
        compact.join()

    (report,) = reports
    assert "writers were busy, it is compacted next time" in report.refused[TABLE]
    assert care.tables.lakehouse.version(TABLE) == version
    assert care.compact(TABLE, dry_run=False).done


def _write(root: str, count: int) -> None:
    lakehouse = Lakehouse(root=root)
    for number in range(count):
        lakehouse.overwrite(TABLE, rows("a", start=number), partitions={"a": 1})


def _read(root: str, expected: str, count: int) -> None:
    """Fail unless each of `count` readings finds the untouched partition as it was, and the other whole."""
    lakehouse = Lakehouse(root=root)
    for _ in range(count):
        assert content_hash(lakehouse.read(TABLE, partitions={"b": 1})) == expected
        assert lakehouse.read(TABLE, partitions={"a": 1}).height == 50


def _answer(folder: Path, table: str, count: int) -> None:
    writer = SegmentWriter(folder)
    for number in range(count):
        writer.append([a_record(number)])
        take_in(folder, table)


def test_compaction_beside_writers_and_a_reader_loses_nothing_and_never_fails(care: LakeCare, tmp_path: Path) -> None:
    scatter(care, "b", 9, revision=1)
    untouched = hash_at(care)["b 1"]
    log = care.tables.lakehouse.path("rides/inference_log")
    processes = [
        SPAWN.Process(target=_write, args=(care.tables.lakehouse.root, 15)),
        SPAWN.Process(target=_answer, args=(tmp_path / "segments", log, 30)),
        SPAWN.Process(target=_read, args=(care.tables.lakehouse.root, untouched, 20)),
    ]
    for process in processes:
        process.start()
    often = LakeCare(tables=care.tables, bundles=care.bundles, keep=Keep(small_files=2, old_versions=timedelta(days=1)))
    reports = []
    while any(process.is_alive() for process in processes):
        reports.append(often.maintain("rides", dry_run=False))
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert hash_at(care) == {"a 1": content_hash(rows("a", start=14)), "b 1": untouched}
    assert sorted(pl.read_delta(log)["id"]) == sorted(f"id-{number}" for number in range(30))
    assert any(report.done for report in reports)


def _maintain_for_ever(root: str) -> None:
    path = Path(root)
    tables = open_tables(path)
    often = LakeCare(
        tables=tables, bundles=BundleStore(home_at(path).bundles), keep=Keep(small_files=2, old_versions=NOW)
    )
    while True:
        often.maintain("rides", dry_run=False)


def test_a_maintenance_killed_at_any_moment_loses_nothing(care: LakeCare) -> None:
    held = care.tables.lakehouse.version(TABLE) or 0
    register(care, {"features": held})
    before, chance = hash_at(care, held), random.Random(5)
    root, now = str(Path(care.tables.lakehouse.root).parent), before
    for number in range(KILLS):
        scatter(care, "b", 12, revision=2 + number)
        now, version = hash_at(care), care.tables.lakehouse.version(TABLE) or 0
        process = SPAWN.Process(target=_maintain_for_ever, args=(root,))
        process.start()
        while process.is_alive() and (care.tables.lakehouse.version(TABLE) or 0) < version + chance.choice([1, 2, 3]):
            pass
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()

        assert hash_at(care) == now
        assert hash_at(care, held) == before
    vacuum(care)
    care.compact(TABLE, dry_run=False)

    assert hash_at(care) == now
    assert len(now) == 2 + KILLS
