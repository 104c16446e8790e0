"""What its history blocks stays out of training, until a person has looked at those very rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from perennial.errors import PartitionBlocked, PerennialError
from perennial.graph.records import PartitionRecord
from perennial.stores.lake.acknowledgements import acknowledge
from perennial.stores.lake.summaries import TABLE, asks_for_retraining, refuse_unfit, unfit
from perennial.stores.lake.tables import Tables
from perennial.stores.operations.tables import ledger
from pipelines.delivery_eta import delivery_eta
from tests.lake import AT, open_tables

DAYS = {"2024-01-01": "pass", "2024-01-02": "block", "2024-01-03": "retrain", "2024-01-04": "warn"}


def record(key: str, verdict: str, *, accepted: str = "rows", revision: int = 1) -> PartitionRecord:
    return PartitionRecord(
        partition=key,
        revision=revision,
        content_hash=f"summary {key}",
        rows=3,
        inputs={"accepted": accepted},
        provenance={"verdict": verdict, "reason": "units: distance_km times 1.6"},
    )


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    opened = open_tables(tmp_path)
    opened.operations.record_partitions("delivery_eta", TABLE, [record(*day) for day in DAYS.items()], at=AT)
    return opened


def test_a_window_with_a_blocked_partition_is_refused_with_reason_and_way_out(tables: Tables) -> None:
    with pytest.raises(PartitionBlocked) as refused:
        refuse_unfit(tables, delivery_eta, dict.fromkeys(DAYS, 1))

    assert "delivery_eta 2024-01-02" in str(refused.value)
    assert "units: distance_km times 1.6" in str(refused.value)
    assert "perennial acknowledge delivery_eta 2024-01-02" in str(refused.value)


def test_a_window_without_it_is_read(tables: Tables) -> None:
    refuse_unfit(tables, delivery_eta, {key: 1 for key in DAYS if key != "2024-01-02"})
    assert unfit(tables, delivery_eta, {"2024-01-09": 1}) == {}


def test_an_acknowledged_partition_is_read_and_is_history(tables: Tables) -> None:
    assert "2024-01-02" not in tables.standing(delivery_eta).across(TABLE, "2024-01-05", 1)

    said = acknowledge(tables, delivery_eta, "2024-01-02", "the app tells miles now", actor="ann", at=AT)

    assert "times 1.6" in said
    refuse_unfit(tables, delivery_eta, dict.fromkeys(DAYS, 1))
    assert list(tables.standing(delivery_eta).across(TABLE, "2024-01-05", 1)) == list(DAYS)
    (entry,) = tables.operations.ledger("delivery_eta", kind="acknowledgement")
    assert (entry.subject, entry.reason, entry.actor) == ("2024-01-02", "the app tells miles now", "ann")


def test_other_rows_of_the_partition_are_not_acknowledged(tables: Tables) -> None:
    acknowledge(tables, delivery_eta, "2024-01-02", "looked at", actor="ann", at=AT)
    again = record("2024-01-02", "block", accepted="other rows", revision=2)
    tables.operations.record_partitions("delivery_eta", TABLE, [again], at=AT)

    assert unfit(tables, delivery_eta, {"2024-01-02": 1}) == {}
    assert list(unfit(tables, delivery_eta, {"2024-01-02": 2})) == ["2024-01-02"]


def test_what_was_acknowledged_holds_however_much_was_decided_since(tables: Tables) -> None:
    acknowledge(tables, delivery_eta, "2024-01-02", "looked at", actor="ann", at=AT)
    (entry,) = tables.operations.ledger("delivery_eta", kind="acknowledgement")
    later = {**{f: getattr(entry, f) for f in entry.__slots__ if f != "id"}, "subject": "2023-12-01"}
    with tables.operations.writing("delivery_eta") as transaction:
        transaction.execute(sa.insert(ledger), [later] * 10_001)

    refuse_unfit(tables, delivery_eta, dict.fromkeys(DAYS, 1))


@pytest.mark.parametrize("key", ["2024-01-01", "2024-01-09"])
def test_there_is_nothing_to_acknowledge_where_nothing_is_blocked(tables: Tables, key: str) -> None:
    with pytest.raises(PerennialError, match="nothing to acknowledge"):
        acknowledge(tables, delivery_eta, key, "why not", actor="ann", at=AT)


def test_only_a_verdict_of_retrain_asks_and_a_blocked_partition_says_nothing() -> None:
    asked = {
        verdict: asks_for_retraining(record("2024-01-01", verdict)) for verdict in ("pass", "warn", "retrain", "block")
    }

    assert asked == {"pass": False, "warn": False, "retrain": True, "block": None}
    assert asks_for_retraining(replace(record("2024-01-01", "retrain"), status="blocked")) is None
