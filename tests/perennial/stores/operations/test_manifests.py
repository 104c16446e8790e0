"""The manifest of each partition: newest revision, all or nothing, the same twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from perennial.graph.records import PartitionRecord
from perennial.stores.operations import Operations


def record(partition: str, revision: int = 1, **other: object) -> PartitionRecord:
    return replace(
        PartitionRecord(partition=partition, revision=revision, content_hash=f"{partition}-{revision}", rows=10),
        **other,  # type: ignore[arg-type]
    )


def test_what_is_recorded_is_read_back(operations: Operations, at: datetime) -> None:
    full = record(
        "2024-01",
        status="blocked",
        reason="schema skew",
        inputs={"landed": "abc"},
        provenance={"uri": "file:///a", "bytes": 3_000_000_000},
        table_version=7,
        known_at=at - timedelta(days=1),
    )

    operations.record_partitions("eta", "accepted", [full, record("2023-12")], at=at)

    assert operations.partitions("eta", "accepted") == {
        "2023-12": replace(record("2023-12"), written_at=at),
        "2024-01": replace(full, written_at=at),
    }
    assert list(operations.partitions("eta", "accepted")) == ["2023-12", "2024-01"]
    assert operations.partitions("eta", "landed") == operations.partitions("fare", "accepted") == {}


def test_the_newest_revision_counts_and_the_earlier_one_stays(operations: Operations, at: datetime) -> None:
    for revision in (1, 3, 2):
        operations.record_partitions("eta", "landed", [record("2024-01", revision)], at=at)

    assert operations.partitions("eta", "landed")["2024-01"].revision == 3
    with operations.reading() as transaction:
        assert transaction.exec_driver_sql("SELECT count(*) FROM partitions").scalar() == 3


def test_recording_twice_changes_nothing_and_a_block_replaces_its_revision(
    operations: Operations, at: datetime
) -> None:
    for _ in range(2):
        operations.record_partitions("eta", "landed", [record("2024-01")], at=at)
    before = operations.partitions("eta", "landed")

    operations.record_partitions("eta", "landed", [record("2024-01", status="blocked", reason="late")], at=at)

    assert before == {"2024-01": replace(record("2024-01"), written_at=at)}
    assert operations.partitions("eta", "landed")["2024-01"].reason == "late"
    operations.record_partitions("eta", "landed", [record("2024-01")], at=at)
    assert operations.partitions("eta", "landed") == before


def test_of_several_records_all_or_none_are_kept(operations: Operations, at: datetime) -> None:
    wrong = record("2024-02", content_hash=None)

    with pytest.raises(sa.exc.IntegrityError):
        operations.record_partitions("eta", "landed", [record("2024-01"), wrong], at=at)

    assert operations.partitions("eta", "landed") == {}


def test_no_records_are_no_work(operations: Operations, at: datetime) -> None:
    operations.record_partitions("eta", "landed", [], at=at)

    assert operations.partitions("eta", "landed") == {}
