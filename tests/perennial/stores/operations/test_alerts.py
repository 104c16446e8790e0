"""Alerts: one row however often it is raised, until somebody closes it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from perennial.stores.operations import Alert, Operations


def test_an_open_alert_is_counted_and_not_raised_again(operations: Operations, at: datetime) -> None:
    later = at + timedelta(minutes=1)

    new = [
        operations.raise_alert("eta", "failed_run", "run 1", "failed", at=at),
        operations.raise_alert("eta", "failed_run", "run 1", "failed again", at=later),
    ]

    assert new == [True, False]
    assert operations.open_alerts() == [
        Alert(
            pipeline="eta",
            kind="failed_run",
            key="run 1",
            message="failed again",
            raised_at=at,
            seen_at=later,
            times=2,
        )
    ]


def test_a_closed_alert_can_be_raised_anew(operations: Operations, at: datetime) -> None:
    operations.raise_alert("eta", "drift", "2024-01", "drifted", at=at)

    assert operations.close_alert("eta", "drift", "2024-01", at=at)
    assert not operations.close_alert("eta", "drift", "2024-01", at=at)
    assert operations.open_alerts() == []
    assert operations.raise_alert("eta", "drift", "2024-01", "drifted", at=at)
    assert operations.open_alerts()[0].times == 1


def test_alerts_are_apart_by_pipeline_kind_and_key(operations: Operations, at: datetime) -> None:
    for pipeline, kind, key in [
        ("eta", "drift", "a"),
        ("fare", "drift", "a"),
        ("eta", "late", "a"),
        ("eta", "late", "b"),
    ]:
        assert operations.raise_alert(pipeline, kind, key, "look", at=at)

    assert len(operations.open_alerts()) == 4
    assert [alert.key for alert in operations.open_alerts("eta")] == ["a", "a", "b"]


def test_raised_by_many_at_once_it_is_one_alert(operations: Operations, at: datetime) -> None:
    with ThreadPoolExecutor(8) as threads:
        new = list(threads.map(lambda _: operations.raise_alert("eta", "drift", "a", "look", at=at), range(16)))

    assert new.count(True) == 1
    assert operations.open_alerts()[0].times == 16
