"""Inference log: every record reaches the lake once, whatever dies and however many take in."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.bundle.bundle import open_bundle
from perennial.settings import Home
from perennial.stores.production import inference_log
from perennial.stores.production.inference_log import (
    LAKE_SCHEMA,
    pending_partitions,
    read_inference_log,
    remove_taken,
    take_in,
)
from perennial.stores.production.segments import SegmentWriter, segments_in
from tests.bundles import an_instance, small_bundle
from tests.records import a_record

SCHEMA = open_bundle(small_bundle()).schema
SPAWN = multiprocessing.get_context("spawn")


def _lake_ids(table: Path) -> list[str]:
    return sorted(pl.read_delta(str(table))["id"].to_list())


def _take_in_small_commits(folder: Path, table: Path) -> None:
    inference_log._COMMIT_BYTES = 4_000
    take_in(folder, str(table))


def test_records_reach_the_lake_once_and_the_second_time_adds_nothing(tmp_path: Path) -> None:
    folder, table = tmp_path / "segments", tmp_path / "lake"
    writer = SegmentWriter(folder)
    writer.append([a_record(number) for number in range(25)])

    first = take_in(folder, str(table))
    second = take_in(folder, str(table))

    assert first.partitions == {"2024-03-01": 10, "2024-03-02": 10, "2024-03-03": 5}
    assert (first.rows, second.rows) == (25, 0)
    assert _lake_ids(table) == sorted(f"id-{n}" for n in range(25))
    assert pl.read_delta(str(table)).select(list(LAKE_SCHEMA)).schema == LAKE_SCHEMA


def test_no_segments_make_no_table(tmp_path: Path) -> None:
    assert take_in(tmp_path / "segments", str(tmp_path / "lake")).rows == 0
    assert not (tmp_path / "lake").exists()


steps = st.lists(st.sampled_from(["append", "torn", "take", "new writer"]), max_size=12)


@settings(max_examples=15)
@given(steps)
def test_any_order_of_writing_crashing_and_taking_in_loses_and_repeats_nothing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    root = tmp_path_factory.mktemp("log")
    folder, table = root / "segments", root / "lake"
    writer, written = SegmentWriter(folder), 0
    for step in [*steps, "take"]:
        if step == "append":
            writer.append([a_record(written), a_record(written + 1)])
            written += 2
        elif step == "torn":
            writer.append([a_record(written)])
            written += 1
            with segments_in(folder)[-1].open("ab") as file:
                file.write(b'{"id":"never answered')
            writer = SegmentWriter(folder)
        elif step == "new writer":
            writer = SegmentWriter(folder)
        else:
            take_in(folder, str(table))

    found = _lake_ids(table) if table.exists() else []

    assert found == sorted(f"id-{number}" for number in range(written))


def test_a_line_that_is_no_record_is_counted_and_passed_over(tmp_path: Path) -> None:
    folder, table = tmp_path / "segments", tmp_path / "lake"
    writer = SegmentWriter(folder)
    writer.append([a_record(0)])
    with segments_in(folder)[0].open("ab") as file:
        file.write(b"\0\0\0\0\n\xff\xfe\n{}\n")
    writer.append([a_record(1)])

    taken = take_in(folder, str(table))

    assert (taken.rows, taken.unreadable) == (2, 3)
    assert take_in(folder, str(table)).unreadable == 0


def test_two_processes_at_once_take_each_record_once(tmp_path: Path) -> None:
    folder, table = tmp_path / "segments", tmp_path / "lake"
    for start in range(0, 400, 40):
        SegmentWriter(folder).append([a_record(number) for number in range(start, start + 40)])

    processes = [SPAWN.Process(target=_take_in_small_commits, args=(folder, table)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0]
    assert _lake_ids(table) == sorted(f"id-{number}" for number in range(400))


def test_a_killed_process_leaves_the_rest_to_the_next_and_nothing_twice(tmp_path: Path) -> None:
    folder, table = tmp_path / "segments", tmp_path / "lake"
    writer = SegmentWriter(folder)
    for number in range(0, 600, 5):
        writer.append([a_record(n) for n in range(number, number + 5)])
    chance = random.Random(7)
    halfway = []

    for _ in range(3):
        process = SPAWN.Process(target=_take_in_small_commits, args=(folder, table))
        process.start()
        commits = len(list(table.glob("_delta_log/*.json")))
        while process.is_alive() and len(list(table.glob("_delta_log/*.json"))) < commits + 2:
            pass
        time.sleep(chance.random() / 100)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        halfway.append(pl.read_delta(str(table)).height)
    take_in(folder, str(table))

    assert 0 < halfway[0] < 600
    assert _lake_ids(table) == sorted(f"id-{number}" for number in range(600))


def test_pending_partitions_are_told_once_by_the_cursor(home: Home) -> None:
    writer = SegmentWriter(home.inference / "rides")
    writer.append([a_record(number) for number in range(15)])

    cursor, first = pending_partitions(home, "rides", None)
    cursor, nothing = pending_partitions(home, "rides", cursor)
    writer.append([a_record(30)])
    _, later = pending_partitions(home, "rides", cursor)

    assert (first, nothing, later) == ({"2024-03-01", "2024-03-02"}, set(), {"2024-03-04"})


def test_only_ended_segments_that_are_taken_in_and_old_are_removed(tmp_path: Path) -> None:
    folder, table = tmp_path / "segments", tmp_path / "lake"
    later = datetime.now(UTC) + timedelta(days=1)
    growing, ended, new = (SegmentWriter(folder) for _ in range(3))
    for number, writer in enumerate((growing, ended)):
        writer.append([a_record(number)])
    take_in(folder, str(table))
    new.append([a_record(2)])
    ended.close()
    new.close()

    too_soon = remove_taken(folder, str(table), before=later - timedelta(days=2))
    removed = remove_taken(folder, str(table), before=later)
    growing.append([a_record(3)])
    take_in(folder, str(table))

    assert too_soon == []
    assert len(removed) == 1
    assert _lake_ids(table) == ["id-0", "id-1", "id-2", "id-3"]


def test_a_segment_stays_until_the_holder_of_the_cursor_was_told_of_it(home: Home, tmp_path: Path) -> None:
    folder, table = home.inference / "rides", tmp_path / "lake"
    later = datetime.now(UTC) + timedelta(days=1)
    first = SegmentWriter(folder)
    first.append([a_record(0)])
    before, _ = pending_partitions(home, "rides", None)
    first.append([a_record(30)])
    first.close()
    take_in(folder, str(table))

    too_soon = remove_taken(folder, str(table), before=later, cursor=before)
    told, partitions = pending_partitions(home, "rides", before)
    removed = remove_taken(folder, str(table), before=later, cursor=told)
    after, _ = pending_partitions(home, "rides", told)

    assert (too_soon, len(removed)) == ([], 1)
    assert partitions == {"2024-03-04"}
    assert after == "{}"


def test_instances_are_read_back_as_typed_columns(tmp_path: Path) -> None:
    folder, table = tmp_path / "segments", tmp_path / "lake"
    sent = [an_instance(n, at_door=f"2024-03-01T08:0{n}:00.25", ride_id=n or None) for n in range(5)]
    SegmentWriter(folder).append([a_record(n, partition="p", **sent[n]) for n in range(5)])
    take_in(folder, str(table))

    rows = read_inference_log(str(table), ["p"], SCHEMA)

    assert {name: rows.schema[name] for name in SCHEMA.polars} == dict(SCHEMA.polars)
    assert rows["distance"].to_list() == [instance["distance"] for instance in sent]
    assert rows["at_door"].to_list() == [datetime.fromisoformat(instance["at_door"]) for instance in sent]
    assert rows["ride_id"].to_list() == [None, 1, 2, 3, 4]
    assert rows["id"].to_list() == [f"id-{n}" for n in range(5)]


def test_only_the_asked_partitions_are_read(tmp_path: Path) -> None:
    folder, table = tmp_path / "segments", tmp_path / "lake"
    SegmentWriter(folder).append([a_record(number) for number in range(30)])
    take_in(folder, str(table))

    assert read_inference_log(str(table), ["2024-03-02"], SCHEMA).height == 10
    assert read_inference_log(str(table), ["2023-03-02"], SCHEMA).height == 0
    assert read_inference_log(str(tmp_path / "no table"), ["2024-03-02"], SCHEMA).height == 0


def test_what_was_looked_up_in_vain_reaches_the_lake_with_its_record(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "segments")
    marked = msgspec.structs.replace(a_record(1), defaulted={"mean": "absent"})
    writer.append([a_record(2), marked])
    writer.close()

    taken = take_in(tmp_path / "segments", str(tmp_path / "lake"))

    assert (taken.rows, taken.unreadable) == (2, 0)
    marks = pl.read_delta(str(tmp_path / "lake")).sort("id").select("id", "defaulted").rows()
    assert [json.loads(mark) if mark else None for _, mark in marks] == [{"mean": "absent"}, None]
