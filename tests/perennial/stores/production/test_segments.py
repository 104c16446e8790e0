"""Segments: what was appended is there in whole lines, in files that others leave alone while they grow."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from perennial.stores.production.segments import SegmentWriter, is_written, segments_in, whole_lines
from tests.records import a_record, ids_in


def test_appended_records_are_in_the_file_at_once(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)

    writer.append([a_record(0), a_record(1)])
    writer.append([a_record(2)])

    assert ids_in(tmp_path) == ["id-0", "id-1", "id-2"]


def test_nothing_appended_makes_no_segment(tmp_path: Path) -> None:
    SegmentWriter(tmp_path).append([])

    assert segments_in(tmp_path) == []


def test_a_segment_is_renewed_by_size_and_by_age(tmp_path: Path) -> None:
    by_size, by_age = tmp_path / "size", tmp_path / "age"
    small = SegmentWriter(by_size, max_bytes=1)
    short = SegmentWriter(by_age, max_age=timedelta(0))

    for number in range(3):
        small.append([a_record(number)])
        short.append([a_record(number)])

    assert len(segments_in(by_size)) == len(segments_in(by_age)) == 3
    assert ids_in(by_size) == ids_in(by_age) == ["id-0", "id-1", "id-2"]


def test_a_segment_counts_as_written_until_its_writer_ends_it(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    writer.append([a_record(0)])
    (path,) = segments_in(tmp_path)

    with path.open("rb") as file:
        while_it_writes = is_written(file.fileno())
        writer.close()
        afterwards = is_written(file.fileno())

    assert (while_it_writes, afterwards) == (True, False)


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, max_bytes=20_000)

    def work(start: int) -> None:
        for number in range(start, start + 100):
            writer.append([a_record(number)])

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ids_in(tmp_path)) == sorted(f"id-{1000 * n + i}" for n in range(4) for i in range(100))


@pytest.mark.parametrize("cut", [1, 50, 100])
def test_a_torn_last_line_is_left_out(tmp_path: Path, cut: int) -> None:
    writer = SegmentWriter(tmp_path)
    writer.append([a_record(0), a_record(1)])
    (path,) = segments_in(tmp_path)

    os.truncate(path, path.stat().st_size - cut)

    assert ids_in(tmp_path) == ["id-0"]


def test_a_limit_gives_whole_lines_and_never_none_of_a_long_one(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    writer.append([a_record(0), a_record(1)])
    (path,) = segments_in(tmp_path)

    first = whole_lines(path, 0, limit=3)

    assert first.count(b"\n") == 1
    assert whole_lines(path, 0) == first + whole_lines(path, len(first))
