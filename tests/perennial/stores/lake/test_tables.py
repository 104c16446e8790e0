"""Tables: equal content makes no new revision and no new table version, whatever is saved with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.content import content_hash
from perennial.errors import PerennialError, SchemaSkew
from perennial.stores.lake import lakehouse
from perennial.stores.lake.lakehouse import Lakehouse, replace_slots
from perennial.stores.lake.scanning import Partitions
from perennial.stores.lake.tables import Outcome, Tables
from pipelines.delivery_eta import delivery_eta
from tests.lake import open_tables

AT = datetime(2024, 2, 1, 12, tzinfo=UTC)
A, B, C = "2024-01-01", "2024-01-02", "2024-01-03"


def frame(rows: Mapping[str, list[int]]) -> pl.DataFrame:
    listed = [(key, value) for key, values in rows.items() for value in values]
    return pl.DataFrame(listed, schema={"partition": pl.String, "value": pl.Int64}, orient="row")


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return open_tables(tmp_path)


def save(tables: Tables, rows: Mapping[str, list[int]], **outcome: str) -> dict[str, tuple[int, int | None]]:
    """Save; the revision and the table version of each partition."""
    outcomes = {key: Outcome(**outcome) for key in rows}  # type: ignore[arg-type]
    records = tables.save(delivery_eta, "landed", frame(rows), outcomes, at=AT)
    return {key: (record.revision, record.table_version) for key, record in records.items()}


def test_a_partition_is_read_back_in_the_order_of_its_rows(tables: Tables) -> None:
    save(tables, {B: [3, 1, 2], A: [9, 8]})

    assert tables.read(delivery_eta, "landed", [B, A])["value"].to_list() == [9, 8, 3, 1, 2]
    assert tables.read(delivery_eta, "landed", [B], ["value"])["value"].to_list() == [3, 1, 2]


def test_a_table_that_nobody_wrote_is_named_with_the_way_to_have_it(tables: Tables) -> None:
    with pytest.raises(PerennialError, match="no such table") as raised:
        tables.read(delivery_eta, "landed", [A])

    for word in ("delivery_eta/landed", "perennial backfill delivery_eta FROM TO", "PERENNIAL_HOME"):
        assert word in str(raised.value)


def test_the_same_content_again_is_not_written(tables: Tables) -> None:
    first = save(tables, {A: [1], B: [2]})

    assert save(tables, {A: [1], B: [2]}) == first
    assert tables.lakehouse.version("delivery_eta/landed") == first[A][1]


def test_only_what_changed_is_written_and_gets_a_revision(tables: Tables) -> None:
    first = save(tables, {A: [1], B: [2], C: [3]})
    second = save(tables, {A: [1], B: [5], C: [3]})

    assert {key: revision for key, (revision, _) in second.items()} == {A: 1, B: 2, C: 1}
    assert second[A] == first[A]
    assert (second[B][1] or 0) > (first[B][1] or 0)


def test_a_partition_that_became_empty_is_emptied_beside_one_that_did_not_change(tables: Tables) -> None:
    save(tables, {A: [1], B: [2]})

    again = save(tables, {A: [], B: [2]})

    assert {key: revision for key, (revision, _) in again.items()} == {A: 2, B: 1}
    assert tables.read(delivery_eta, "landed", [A, B])["value"].to_list() == [2]
    assert tables.records(delivery_eta, "landed")[A].rows == 0


def test_a_blocked_partition_keeps_the_rows_that_it_had(tables: Tables) -> None:
    save(tables, {A: [1]})

    tables.block(delivery_eta, "landed", A, Outcome(blocked="no file"), at=AT)

    record = tables.records(delivery_eta, "landed")[A]
    assert (record.status, record.reason, record.revision, record.rows) == ("blocked", "no file", 2, 0)
    assert tables.read(delivery_eta, "landed", {A: 1})["value"].to_list() == [1]
    assert tables.read(delivery_eta, "landed", [A]).is_empty()
    assert save(tables, {A: [1]})[A][0] == 2
    assert tables.records(delivery_eta, "landed")[A].status == "ok"


def test_a_partition_that_is_blocked_again_and_again_stays_one_revision(tables: Tables) -> None:
    for reason in ("no file", "half a file"):
        tables.block(delivery_eta, "landed", A, Outcome(blocked=reason), at=AT)

    history = tables.history(delivery_eta, "landed")[A]
    assert {number: record.reason for number, record in history.items()} == {1: "half a file"}


def test_revisions_of_one_partition_stand_beside_each_other(tables: Tables) -> None:
    for values in ([1], [2, 3], [4]):
        save(tables, {A: values, B: [9]})

    read = [tables.read(delivery_eta, "landed", {A: number, B: 1})["value"].to_list() for number in (1, 2, 3)]
    assert read == [[1, 9], [2, 3, 9], [4, 9]]


def test_a_revision_that_is_written_again_replaces_itself_and_no_other(tables: Tables) -> None:
    save(tables, {A: [1]})
    save(tables, {A: [2]})

    again = tables.save(delivery_eta, "landed", frame({A: [7]}), {A: Outcome(revision=1)}, at=AT)

    assert again[A].revision == 1
    assert [tables.read(delivery_eta, "landed", {A: n})["value"].to_list() for n in (1, 2)] == [[7], [2]]


def test_what_is_not_a_data_table_keeps_its_newest_rows_only(tables: Tables) -> None:
    for values in ([1], [2]):
        tables.save(delivery_eta, "training_set", frame({A: values}), {A: Outcome()}, at=AT)

    assert tables.read(delivery_eta, "training_set", [A])["value"].to_list() == [2]
    assert tables.lakehouse.scan("delivery_eta/training_set").collect().height == 1


def test_two_processes_that_write_one_partition_at_once_leave_one_truth(tables: Tables) -> None:
    """Each waits for the other over rows and manifest together."""
    contents = [[number] * 50 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda values: save(tables, {A: values}), contents))

    record = tables.records(delivery_eta, "landed")[A]
    assert content_hash(tables.read(delivery_eta, "landed", [A])) == record.content_hash
    assert sorted(tables.history(delivery_eta, "landed")[A]) == list(range(1, 9))


def test_a_partition_that_never_stood_can_be_blocked(tables: Tables) -> None:
    tables.block(delivery_eta, "landed", B, Outcome(blocked="no file"), at=AT)

    record = tables.records(delivery_eta, "landed")[B]
    assert (record.status, record.revision, record.rows, record.content_hash) == ("blocked", 1, 0, "")


def test_rows_that_were_written_and_not_recorded_are_written_again_to_the_same_content(tables: Tables) -> None:
    """What a crash between the write and the record leaves."""
    rows = frame({A: [1, 2]})
    numbered = rows.with_columns(revision=pl.lit(1, pl.Int32))
    tables.lakehouse.overwrite("delivery_eta/landed", numbered, partitions={A: 1})

    assert save(tables, {A: [1, 2]})[A][0] == 1
    assert tables.read(delivery_eta, "landed", [A]).equals(rows.select("partition", "value"))


STATES = st.dictionaries(st.sampled_from([A, B, C]), st.lists(st.integers(0, 2), max_size=2), min_size=1)


@settings(max_examples=25)
@given(saves=st.lists(STATES, min_size=1, max_size=4))
def test_after_any_saves_the_lake_holds_the_last_content_and_revisions_count_changes(
    saves: list[dict[str, list[int]]],
) -> None:
    with TemporaryDirectory() as folder:
        tables, holds, revisions = open_tables(Path(folder)), dict[str, list[int]](), dict[str, int]()
        for rows in saves:
            for key, values in rows.items():
                revisions[key] = revisions.get(key, 0) + (holds.get(key) != values)
                holds[key] = values

            save(tables, rows)

        records = tables.records(delivery_eta, "landed")
        assert {key: record.revision for key, record in records.items()} == revisions
        for key, values in holds.items():
            read = tables.read(delivery_eta, "landed", [key])
            assert read["value"].to_list() == values
            assert content_hash(read) == records[key].content_hash
        tables.operations.close()


def test_a_stray_partition_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    lake = Lakehouse(root=str(tmp_path))
    lake.overwrite("eta/landed", frame({A: [1]}), partitions=[A])

    with pytest.raises(ValueError, match="2024-01-02"):
        lake.overwrite("eta/landed", frame({A: [2], B: [3]}), partitions=[A])

    assert lake.read("eta/landed", partitions=[A, B])["value"].to_list() == [1]


def test_a_reader_can_go_back_to_a_version(tmp_path: Path) -> None:
    lake = Lakehouse(root=str(tmp_path))
    assert lake.version("eta/landed") is None
    first = lake.overwrite("eta/landed", frame({A: [1]}), partitions=[A])
    second = lake.overwrite("eta/landed", frame({A: [2]}), partitions=[A])

    values = [lake.scan("eta/landed", version=version).collect()["value"].to_list() for version in (first, second)]

    assert values == [[1], [2]]
    assert lake.version("eta/landed") == second


def test_a_commit_counts_its_rows_and_says_nothing_of_the_values_in_them(tmp_path: Path) -> None:
    lakehouse = Lakehouse(root=str(tmp_path / "lake"))
    wide = pl.DataFrame({"partition": ["2024-01-01"] * 3} | {f"value {n}": [1.5, None, 2.5] for n in range(50)})

    lakehouse.overwrite("p/wide", wide, partitions=["2024-01-01"])

    log = tmp_path / "lake" / "p" / "wide" / "_delta_log" / f"{1:020}.json"
    commit = [json.loads(line) for line in log.read_text().splitlines()]
    (added,) = [action["add"] for action in commit if "add" in action]
    stats = json.loads(added["stats"])
    assert stats.pop("numRecords") == 3
    assert not any(stats.values()), "a statistic of each column, which nobody reads"


def test_labels_until_an_as_of_are_those_of_its_readable_partitions(tables: Tables) -> None:
    rows = {A: [1, 2], B: [3], C: [4, 5, 6]}
    tables.save(delivery_eta, "labels", frame(rows), dict.fromkeys(rows, Outcome()), at=AT)
    tables.block(delivery_eta, "labels", A, Outcome(blocked="a test"), at=AT)

    assert [tables.labels_until(delivery_eta, as_of) for as_of in (A, B, C)] == [0, 1, 4]


def test_rows_that_come_in_pieces_are_read_back_in_their_order(tables: Tables) -> None:
    pieces = [frame({A: list(range(n, n + 50)), B: list(range(n, n + 50))}) for n in range(0, 1_000, 50)]
    rows = pl.concat(pieces, rechunk=False)
    assert rows.n_chunks() == 20

    record = tables.save(delivery_eta, "landed", rows, {A: Outcome(), B: Outcome()}, at=AT)[A]

    read = tables.read(delivery_eta, "landed", [A])
    assert read["value"].to_list() == list(range(1_000))
    assert content_hash(read) == record.content_hash


def test_a_table_from_before_revisions_is_named_and_left_as_it_was(tables: Tables) -> None:
    tables.lakehouse.overwrite("delivery_eta/landed", frame({A: [1]}), partitions=[A])

    with pytest.raises(SchemaSkew, match="the table was written before revisions were kept"):
        save(tables, {A: [2]})

    assert tables.lakehouse.scan("delivery_eta/landed").collect()["value"].to_list() == [1]


def test_a_writer_that_dies_over_a_slot_leaves_no_old_hash_on_its_rows(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of other rules are written, the run dies before they are recorded, and the rules are put back."""
    right, other = frame({A: [1, 2, 3]}), frame({A: [9]})
    for name in ("accepted", "training_set"):
        outcome = {A: Outcome(revision=1) if name == "accepted" else Outcome()}
        tables.save(delivery_eta, name, right, outcome, at=AT)
        with monkeypatch.context() as patch:
            patch.setattr(Lakehouse, "replace", _write_and_die)
            with pytest.raises(KeyboardInterrupt):
                tables.save(delivery_eta, name, other, outcome, at=AT)
        assert tables.records(delivery_eta, name)[A].status == "blocked"

        tables.save(delivery_eta, name, right, outcome, at=AT)

        assert tables.read(delivery_eta, name, [A])["value"].to_list() == [1, 2, 3]
        assert tables.records(delivery_eta, name)[A].status == "ok"


def _write_and_die(
    lake: Lakehouse, table: str, parts: Mapping[str, pl.DataFrame], *, partitions: Partitions, blank: pl.DataFrame
) -> int:
    REPLACE(lake, table, parts, partitions=partitions, blank=blank)
    raise KeyboardInterrupt


REPLACE = Lakehouse.replace


def test_a_writer_that_dies_between_the_commits_of_two_revisions_is_written_again(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tables, {A: [1], B: [1]})
    outcomes = {A: Outcome(revision=1), B: Outcome(revision=2)}
    left = [1]

    def die(*arguments: Any) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        replace_slots(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(lakehouse, "replace_slots", die)
        with pytest.raises(KeyboardInterrupt):
            tables.save(delivery_eta, "landed", frame({A: [2], B: [2]}), outcomes, at=AT)
    history = tables.history(delivery_eta, "landed")
    assert (history[A][1].status, list(history[B])) == ("blocked", [1])

    tables.save(delivery_eta, "landed", frame({A: [2], B: [2]}), outcomes, at=AT)

    assert tables.read(delivery_eta, "landed", {A: 1, B: 2})["value"].to_list() == [2, 2]
    assert tables.read(delivery_eta, "landed", {B: 1})["value"].to_list() == [1]


def test_the_thread_that_holds_a_table_may_write_it(tables: Tables) -> None:
    with tables.operations.holding("delivery_eta/landed"):
        assert save(tables, {A: [1]})[A][0] == 1
