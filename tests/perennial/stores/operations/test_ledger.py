"""The ledger: only ever added to, and quiet about what it said before."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from perennial.stores.operations import LedgerEntry, Operations


def say(operations: Operations, at: datetime, reason: str, **other: str) -> bool:
    words = {"pipeline": "eta", "kind": "not_now", "subject": "2024-01"} | other
    return operations.append_decision(**words, reason=reason, details={"labels": 3}, at=at)


CHANGES = ["UPDATE ledger SET reason = 'better'", "UPDATE ledger SET id = id", "DELETE FROM ledger"]
REPLACE = """
INSERT OR REPLACE INTO ledger (id, at, pipeline, kind, subject, actor, reason, details)
VALUES (1, '2024-01-01 00:00:00', 'eta', 'release', 'version 1', 'eve', 'mine', '{}')
"""


def test_a_row_cannot_be_changed_or_removed(operations: Operations, at: datetime) -> None:
    say(operations, at, "too early")
    before = operations.ledger()

    for statement in [*CHANGES, REPLACE if operations.is_sqlite else "TRUNCATE ledger"]:
        with (
            pytest.raises(sa.exc.DBAPIError, match="the ledger is append-only"),
            operations.writing("eta") as transaction,
        ):
            transaction.exec_driver_sql(statement)

    assert operations.ledger() == before


def test_a_decision_says_what_why_who_and_when(operations: Operations, at: datetime) -> None:
    operations.append_decision(
        "eta", "retraining", "2024-03", "drift", {"k": 3, "share": float("nan")}, at=at, actor="sensor"
    )

    assert operations.ledger() == [
        LedgerEntry(
            id=1,
            at=at,
            pipeline="eta",
            kind="retraining",
            subject="2024-03",
            from_version=None,
            to_version=None,
            actor="sensor",
            reason="drift",
            details={"k": 3, "share": None},
        )
    ]


def test_the_same_decision_again_is_not_written_again(operations: Operations, at: datetime) -> None:
    written = [say(operations, at + timedelta(seconds=30 * tick), "too early") for tick in range(5)]

    assert written == [True, False, False, False, False]
    assert [entry.at for entry in operations.ledger()] == [at]


def test_a_decision_that_differs_in_anything_is_written(operations: Operations, at: datetime) -> None:
    assert say(operations, at, "too early")
    assert say(operations, at, "too few")
    assert say(operations, at, "too few", subject="2024-02")
    assert say(operations, at, "too few", subject="2024-02", kind="retraining")
    assert say(operations, at, "too few", subject="2024-02", pipeline="fare")
    assert say(operations, at, "too early")
    assert not say(operations, at, "too few", subject="2024-02", kind="retraining")


def test_the_ledger_is_read_newest_first_by_pipeline_and_kind(operations: Operations, at: datetime) -> None:
    for index, (pipeline, kind) in enumerate([("eta", "not_now"), ("fare", "not_now"), ("eta", "retraining")]):
        say(operations, at, f"reason {index}", pipeline=pipeline, kind=kind)

    def reasons(**query: str | int) -> list[str]:
        return [entry.reason for entry in operations.ledger(**query)]  # type: ignore[arg-type]

    assert reasons() == ["reason 2", "reason 1", "reason 0"]
    assert reasons(limit=1) == ["reason 2"]
    assert reasons(pipeline="eta") == ["reason 2", "reason 0"]
    assert reasons(kind="not_now") == ["reason 1", "reason 0"]
    assert reasons(pipeline="eta", kind="not_now") == ["reason 0"]


@pytest.mark.parametrize("kind", ["release", "rollback"])
def test_only_a_release_can_say_that_it_released(operations: Operations, at: datetime, kind: str) -> None:
    with pytest.raises(ValueError, match=f"written by Operations.{kind} only"):
        say(operations, at, "mine", kind=kind)
