"""A partition that should have arrived makes the check of `landed` warn, once, and an alert of it, until it comes."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from rich.console import Console

from cli.status import show_outdated
from perennial.graph.lineage import inputs_of
from perennial.graph.records import PartitionRecord
from perennial.ingestion.lateness import CHECK
from perennial.time import hours
from sensors.checks import build_failed_checks
from sensors.lateness import build_lateness
from tests.clock import FixedClock
from tests.sensors.conftest import World

SEEN = ("2024-01-01", "2024-01-28")
MISSING = "2024-01-29"


@pytest.fixture
def watched(world: World) -> World:
    """Four weeks that landed two hours after their end each; the one after them is missing."""
    for key in world.pipeline.time.keys(*SEEN):
        land(world, key, lag=2)
    return world


def land(world: World, key: str, *, lag: float) -> None:
    at = world.pipeline.time.window(key).end + hours(lag)
    record = PartitionRecord(
        partition=key,
        revision=1,
        content_hash=f"landed {key}",
        rows=1,
        inputs=inputs_of(world.pipeline, "landed", "file"),
        provenance={"signature": "file", "arrived_at": at.isoformat()},
    )
    world.operations.record_partitions("eta", "landed", [record], at=at)


def tick(world: World, at: datetime, cursor: str | None = None) -> Any:
    world.stores["clock"] = FixedClock(at)
    return world.tick(build_lateness(world.pipeline), cursor)


def found(world: World) -> list[tuple[bool, str | None]]:
    """What the check found, the newest first."""
    key = dg.AssetCheckKey(dg.AssetKey(["eta", "landed"]), CHECK)
    history = world.instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    evaluations = [record.evaluation for record in history if record.evaluation]
    return [(evaluation.passed, evaluation.description) for evaluation in evaluations]


EARLY, LATE, LATER = (datetime(2024, 1, 30, hour, tzinfo=UTC) for hour in (6, 8, 10))


def test_it_says_nothing_before_the_partition_is_overdue(watched: World) -> None:
    said = tick(watched, EARLY)

    assert said.skip_message == f"{SEEN[1]} arrived 2 h after its end, usually 2 h and 8 h at most"
    assert found(watched) == []


def test_it_warns_once_and_takes_it_back_when_the_partition_has_arrived(watched: World) -> None:
    first = tick(watched, LATE)
    again = tick(watched, LATER, first.cursor)
    assert found(watched) == [(False, f"{MISSING} is overdue since 2024-01-30 07:00 UTC")]

    land(watched, MISSING, lag=5)
    tick(watched, LATER, again.cursor)

    assert found(watched)[0] == (True, f"{MISSING} arrived 5 h after its end, usually 2 h and 8 h at most")
    assert len(found(watched)) == 2


def test_the_warning_becomes_an_alert_that_ends_with_the_arrival(watched: World) -> None:
    checks = build_failed_checks()
    seen = watched.tick(checks, None).cursor
    cursor = tick(watched, LATE).cursor

    seen = watched.tick(checks, seen).cursor

    (alert,) = watched.operations.open_alerts("eta")
    assert f"{MISSING} is overdue since 2024-01-30 07:00 UTC" in alert.message
    land(watched, MISSING, lag=5)
    tick(watched, LATER, cursor)
    watched.tick(checks, seen)
    assert watched.operations.open_alerts("eta") == []


def test_the_status_lists_what_is_overdue_first(watched: World) -> None:
    console = Console(file=io.StringIO(), width=200)

    show_outdated(watched.pipeline, watched.stores["tables"], console, now=LATE)

    assert isinstance(console.file, io.StringIO)
    (line,) = [line for line in console.file.getvalue().splitlines() if MISSING in line]
    assert "is overdue since 2024-01-30 07:00 UTC" in line
    assert "sensor eta_arrivals says what it sees" in line


def test_a_pipeline_whose_source_has_ended_is_never_overdue(watched: World) -> None:
    watched.pipeline = replace(watched.pipeline, time=replace(watched.pipeline.time, end=SEEN[1]))

    tick(watched, LATER)

    assert found(watched) == []
