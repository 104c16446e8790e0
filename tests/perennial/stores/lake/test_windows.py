"""Windows: a training may use a window only when every partition of it stands and is up to date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest

from perennial import Files, Label, Maturity, Windows, col, days
from perennial.bundle.parity import UNSEEN
from perennial.errors import HistoryTooShort, NoMatureLabels, PartitionBlocked
from perennial.graph.records import PartitionRecord
from perennial.stores.lake.acknowledgements import acknowledge
from perennial.stores.lake.judging import Judging
from perennial.stores.lake.lakehouse import Lakehouse
from perennial.stores.lake.tables import Outcome, Tables
from perennial.stores.lake.windows import collect_training_set, held_out_rows, known_shares, window_keys
from pipelines.delivery_eta import delivery_eta
from tests.lake import AT, DAYS, copied_tables, fill, filled_home

SHORT = replace(delivery_eta, windows=Windows(train=2, validation=1, test=1), source=Files("{root}"))
AS_OF = DAYS[-1]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data tables of DAYS, closed."""
    return filled_home(tmp_path_factory.mktemp("filled") / "home", SHORT)


@pytest.fixture
def tables(filled: Path, tmp_path: Path) -> Iterator[Tables]:
    with copied_tables(filled, tmp_path / "home") as tables:
        yield tables


def test_a_training_set_names_what_it_was_made_from_and_repeats(tables: Tables) -> None:
    made = collect_training_set(tables, SHORT, AS_OF)

    assert made.keys.all == tuple(DAYS[1:])
    assert made.manifest["content_hash"] == made.training_set.content_hash
    assert made.manifest["rows"] == made.table.height == made.training_set.frame.height
    assert made.manifest["windows"] == {"train": (DAYS[1], DAYS[2]), "validation": (DAYS[3],), "test": (DAYS[4],)}
    assert made.manifest["table_versions"] == {
        name: tables.records(SHORT, name)[AS_OF].table_version for name in ("features", "labels")
    }
    assert set(made.inputs) == {f"{name}/{day}" for name in ("features", "labels") for day in DAYS[1:]}
    assert made.table["partition"].unique().to_list() == [AS_OF]
    assert collect_training_set(tables, SHORT, AS_OF).manifest == made.manifest


def test_a_training_reads_the_rows_that_its_records_describe_though_they_change_meanwhile(tables: Tables) -> None:
    before = collect_training_set(tables, SHORT, AS_OF)
    labels, record = tables.read(SHORT, "labels", [AS_OF]), tables.records(SHORT, "labels")[AS_OF]
    outcome = Outcome(inputs=record.inputs, known_at=record.known_at)
    changed = labels.with_columns(pl.col("label") + 1)
    writer = Thread(target=lambda: tables.save(SHORT, "labels", changed, {AS_OF: outcome}, at=AT))

    class Meanwhile(Lakehouse):
        def read(self, *args: Any, **kwargs: Any) -> pl.DataFrame:
            if not writer.ident:
                writer.start()
                writer.join(timeout=1)
            return super().read(*args, **kwargs)

    made = collect_training_set(replace(tables, lakehouse=Meanwhile(root=tables.lakehouse.root)), SHORT, AS_OF)
    writer.join()

    assert made.inputs == before.inputs
    assert made.training_set.content_hash == before.training_set.content_hash
    assert tables.records(SHORT, "labels")[AS_OF].content_hash != record.content_hash


def test_a_row_that_was_sent_twice_counts_once(tables: Tables) -> None:
    made = collect_training_set(tables, SHORT, AS_OF)

    assert made.training_set.duplicates > 0
    assert made.training_set.frame.select("order_id", "partition").is_unique().all()


def test_a_partition_unlike_its_history_refuses_the_window_until_a_person_acknowledges_it(tables: Tables) -> None:
    accepted = tables.records(SHORT, "accepted")[DAYS[2]]
    verdict = PartitionRecord(
        partition=DAYS[2],
        revision=accepted.revision,
        content_hash="a summary",
        rows=1,
        inputs=tables.records(SHORT, "summary")[DAYS[2]].inputs,
        provenance={"verdict": "block", "reason": "units: distance_km times 1.6"},
    )
    tables.operations.record_partitions(SHORT.name, "summary", [verdict], at=AT)
    with pytest.raises(PartitionBlocked, match="summary is out of date: summaries before it have changed"):
        collect_training_set(tables, SHORT, AS_OF)
    judge_again(tables)

    with pytest.raises(PartitionBlocked, match=r"summary blocks it: units: distance_km times 1\.6"):
        collect_training_set(tables, SHORT, AS_OF)

    acknowledge(tables, SHORT, DAYS[2], "the app tells miles now", actor="ann", at=AT)
    judge_again(tables)
    assert DAYS[2] in collect_training_set(tables, SHORT, AS_OF).keys.all


def judge_again(tables: Tables) -> None:
    """Give the verdicts again whose history is another now, as the next run of the summary does."""
    judging = Judging(tables, SHORT, asked=())
    judging.judge(judging.keys, at=AT)


@pytest.mark.parametrize("name", ["landed", "accepted", "features", "labels", "summary"])
def test_a_blocked_partition_anywhere_in_the_window_refuses_it(tables: Tables, name: str) -> None:
    tables.block(SHORT, name, DAYS[2], Outcome(blocked="spoiled"), at=AT)

    with pytest.raises(PartitionBlocked) as caught:
        collect_training_set(tables, SHORT, AS_OF)

    for word in (f"delivery_eta {DAYS[2]}", f"{name} is blocked: spoiled", f"backfill delivery_eta {DAYS[2]}"):
        assert word in str(caught.value)


def test_a_blocked_partition_behind_the_window_does_not_matter(tables: Tables) -> None:
    tables.block(SHORT, "landed", DAYS[4], Outcome(blocked="spoiled"), at=AT)

    assert collect_training_set(tables, SHORT, DAYS[3]).keys.all == tuple(DAYS[:4])


def test_a_blocked_partition_that_the_window_has_seen_as_aggregates_has_them_made_anew(tables: Tables) -> None:
    tables.block(SHORT, "landed", DAYS[0], Outcome(blocked="spoiled"), at=AT)

    with pytest.raises(PartitionBlocked, match="features is out of date: aggregates have changed"):
        collect_training_set(tables, SHORT, AS_OF)


def test_a_missing_partition_refuses_the_window(tables: Tables) -> None:
    with pytest.raises(PartitionBlocked, match=r"delivery_eta 2024-01-06: landed is missing"):
        collect_training_set(tables, SHORT, "2024-01-06")


def test_rows_that_changed_below_refuse_the_window_until_what_is_made_of_them_is_renewed(tables: Tables) -> None:
    accepted = tables.read(SHORT, "accepted", [DAYS[3]]).head(100)
    record = tables.records(SHORT, "accepted")[DAYS[3]]
    tables.save(SHORT, "accepted", accepted, {DAYS[3]: Outcome(inputs=record.inputs)}, at=AT)

    with pytest.raises(PartitionBlocked, match=r"2024-01-04: features is out of date: accepted has changed"):
        collect_training_set(tables, SHORT, AS_OF)


def test_another_declaration_refuses_the_window_until_its_rows_are_made_anew(tables: Tables) -> None:
    more = replace(SHORT, features=[*SHORT.features, (col("items") * 2).alias("twice")])

    with pytest.raises(PartitionBlocked, match="features is out of date: its declaration has changed"):
        collect_training_set(tables, more, AS_OF)


def test_a_window_that_reaches_back_before_the_first_partition_is_refused(tables: Tables) -> None:
    with pytest.raises(HistoryTooShort, match=r"delivery_eta as of 2024-01-03: .* found 3 partitions .* at least 4"):
        collect_training_set(tables, SHORT, "2024-01-03")


def test_a_label_that_is_unknown_for_all_rows_is_a_clear_refusal(tables: Tables) -> None:
    never = replace(
        SHORT, label=Label("minutes", value=pl.lit(None, pl.Float64) * col("items"), known_at="delivered_at")
    )
    fill(tables, never)

    with pytest.raises(NoMatureLabels, match="no row of the train split has a label known by then"):
        collect_training_set(tables, never, AS_OF)


def test_an_outcome_of_too_little_confidence_is_not_known_yet(tables: Tables) -> None:
    mature = Maturity(completeness=0.9, at_latest=days(30))
    trusting = replace(SHORT, label=replace(SHORT.label, mature_after=mature))
    choosy = replace(SHORT, label=replace(SHORT.label, mature_after=mature, min_confidence=0.5))
    labels, record = tables.read(SHORT, "labels", [AS_OF]), tables.records(SHORT, "labels")[AS_OF]
    doubted = labels.with_columns(confidence=pl.when(pl.int_range(pl.len()) % 5 == 0).then(0.4).otherwise(0.5))
    tables.save(SHORT, "labels", doubted, {AS_OF: Outcome(inputs=record.inputs)}, at=AT)

    shares = known_shares(tables, choosy, AS_OF)

    assert shares[AS_OF] == pytest.approx(0.8, abs=0.01)
    assert shares[DAYS[3]] == 1.0
    assert window_keys(tables, choosy, AS_OF).all == tuple(DAYS[:4])
    assert window_keys(tables, trusting, AS_OF).all == tuple(DAYS[1:])


def test_held_out_rows_are_raw_and_each_in_its_place(tables: Tables) -> None:
    made = collect_training_set(tables, SHORT, AS_OF)

    held = held_out_rows(tables, SHORT, made)

    sealed = made.training_set.rows("test")
    assert sorted(held["test.parquet"]["order_id"]) == sorted(sealed["order_id"])
    assert set(SHORT.schema.names) <= set(held["test.parquet"].columns)
    assert held["sample.parquet"].height == made.training_set.rows("train", "validation").height
    assert held["golden.parquet"].height >= SHORT.gates.parity.min_rows
    assert held["golden.parquet"].columns == list(SHORT.request_columns)
    assert UNSEEN in held["golden.parquet"]["zone"]
    last_fitted = made.training_set.rows("train", "validation")["event_time"].max()
    assert held["test.parquet"]["event_time"].min() > last_fitted  # type: ignore[operator]
