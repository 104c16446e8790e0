"""Online: what was brought last is held against what the lake knows newest, at the moment that one asks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from perennial import Rolling
from perennial.graph.lineage import History, Standing
from perennial.graph.online import AGGREGATES, ONLINE, newest_known, outdated_online, problem_online, renewed_assets
from perennial.graph.records import PartitionRecord
from pipelines.delivery_eta import delivery_eta

ROLLING = replace(delivery_eta, aggregates=[Rolling(by="restaurant", how="count", days=2)])
DAYS = ("2024-01-01", "2024-01-02")
KNOWN = ROLLING.time.known_at(DAYS[1])


def record(day: str, content: str, **changes: str) -> PartitionRecord:
    inputs = {AGGREGATES: content}
    return replace(PartitionRecord(partition=day, revision=1, content_hash=content, rows=1, inputs=inputs), **changes)  # type: ignore[arg-type]


def standing(*, online: dict[str, str], blocked: tuple[str, ...] = ()) -> Standing:
    """Two days of aggregates, and what was brought online of which day."""
    tables: dict[str, History] = {
        AGGREGATES: {day: {1: record(day, f"of {day}", status="blocked" if day in blocked else "ok")} for day in DAYS},
        ONLINE: {day: {1: record(day, content)} for day, content in online.items()},
    }
    return Standing(pipeline=ROLLING, load=tables.__getitem__)


@pytest.mark.parametrize(
    ("online", "at", "found"),
    [
        ({DAYS[1]: f"of {DAYS[1]}"}, KNOWN, None),
        ({}, KNOWN, (DAYS[1], "online_features is missing: nothing was brought online")),
        ({DAYS[0]: f"of {DAYS[0]}"}, KNOWN, (DAYS[1], f"online_features is out of date: it holds {DAYS[0]}")),
        ({DAYS[0]: f"of {DAYS[0]}"}, KNOWN - timedelta(minutes=1), None),
        ({DAYS[1]: "before"}, KNOWN, (DAYS[1], "online_features is out of date: aggregates have changed")),
    ],
)
def test_it_is_behind_where_the_newest_known_aggregates_are_not_what_was_brought(
    online: dict[str, str], at: datetime, found: tuple[str, str] | None
) -> None:
    assert problem_online(standing(online=online), at) == found


def test_what_is_behind_names_the_command_and_what_is_not_nothing() -> None:
    (group,) = outdated_online(standing(online={}), KNOWN)

    assert group.command == f"perennial requeue delivery_eta {DAYS[1]}"
    assert outdated_online(standing(online={DAYS[1]: f"of {DAYS[1]}"}), KNOWN) == []


def test_blocked_aggregates_are_not_the_newest() -> None:
    found = newest_known(standing(online={}, blocked=(DAYS[1],)), KNOWN)

    assert found is not None
    assert found[0] == DAYS[0]


def test_a_pipeline_without_aggregates_has_nothing_online() -> None:
    plain = replace(delivery_eta, aggregates=())

    assert ONLINE not in renewed_assets(plain)
    assert problem_online(Standing(pipeline=plain, load=dict[str, History]().__getitem__), KNOWN) is None
