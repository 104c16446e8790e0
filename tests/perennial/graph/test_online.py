"""Online: what was brought last is held against what the lake knows newest, at the moment that one asks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from perennial import Rolling
from perennial.graph.lineage import STEPS, History, Standing, digest
from perennial.graph.online import (
    AGGREGATES,
    ONLINE,
    brought_online,
    newest_known,
    outdated_online,
    problem_online,
    renewed_assets,
)
from perennial.graph.records import UNFINISHED, PartitionRecord
from pipelines.delivery_eta import delivery_eta

ROLLING = replace(delivery_eta, aggregates=[Rolling(by="restaurant", how="count", days=2)])
DAYS = ("2024-01-01", "2024-01-02")
KNOWN = ROLLING.time.known_at(DAYS[1])


def record(day: str, content: str, **changes: str) -> PartitionRecord:
    inputs = {AGGREGATES: content}
    return replace(PartitionRecord(partition=day, revision=1, content_hash=content, rows=1, inputs=inputs), **changes)  # type: ignore[arg-type]


def standing(
    *,
    online: tuple[str, str] | None,
    blocked: tuple[str, ...] = (),
    window: str | None = None,
    landed: bool = True,
    finished: bool = True,
    store: str = "redis://here/0",
) -> Standing:
    """Two days of aggregates, made from no partials or others, and the day and content that were brought online."""
    there = {"source": "", "declaration": ROLLING.part_hash(*STEPS["landed"].declared) if landed else "before"}
    tables: dict[str, History] = {
        "landed": {day: {1: replace(record(day, f"of {day}"), inputs=there)} for day in DAYS},
        "accepted": {day: {1: record(day, f"of {day}", status="blocked")} for day in DAYS},
        ONLINE: {},
        "partials": {},
    }
    if online:
        day, content = online
        held = replace(record(ONLINE, content), provenance={"partition": day, "store": "redis://here/0"})
        unfinished = replace(held, status="blocked", reason=UNFINISHED)
        tables[ONLINE] = {ONLINE: {1: held if finished else unfinished}}
    found = Standing(pipeline=ROLLING, load=tables.__getitem__, online_place=store)
    declared = ROLLING.part_hash(*STEPS[AGGREGATES].declared)
    for day in DAYS:
        read = {"partials": window or digest(found.across(AGGREGATES, day, 1)), "declaration": declared}
        made = record(day, f"of {day}", status="blocked" if day in blocked else "ok")
        tables[AGGREGATES] = {**tables.get(AGGREGATES, {}), day: {1: replace(made, inputs=read)}}
    return found


@pytest.mark.parametrize(
    ("online", "at", "found"),
    [
        ((DAYS[1], f"of {DAYS[1]}"), KNOWN, None),
        (None, KNOWN, (DAYS[1], "online_features is missing: nothing was brought online")),
        ((DAYS[0], f"of {DAYS[0]}"), KNOWN, (DAYS[1], f"online_features is out of date: it holds {DAYS[0]}")),
        ((DAYS[0], f"of {DAYS[0]}"), KNOWN - timedelta(minutes=1), None),
        ((DAYS[1], "before"), KNOWN, (DAYS[1], "online_features is out of date: aggregates have changed")),
    ],
)
def test_it_is_behind_where_the_newest_known_aggregates_are_not_what_was_brought(
    online: tuple[str, str] | None, at: datetime, found: tuple[str, str] | None
) -> None:
    assert problem_online(standing(online=online), at) == found


@pytest.mark.parametrize("content", [f"of {DAYS[1]}", "before", ""])
def test_what_a_run_was_writing_when_it_ended_is_behind_whatever_its_record_names(content: str) -> None:
    found = standing(online=(DAYS[1], content), finished=False)

    assert brought_online(found) is None
    assert problem_online(found, KNOWN) == (DAYS[1], f"online_features is out of date: {UNFINISHED}")


def test_what_a_run_was_writing_when_it_ended_is_named_also_where_no_aggregates_may_be_read() -> None:
    found = standing(online=(DAYS[1], ""), blocked=DAYS, finished=False)

    assert problem_online(found, KNOWN) == (DAYS[1], "online_features is out of date: no aggregates may be read")


def test_what_was_brought_to_another_store_is_behind() -> None:
    found = standing(online=(DAYS[1], f"of {DAYS[1]}"), store="redis://there/0")

    assert problem_online(found, KNOWN) == (
        DAYS[1],
        "online_features is out of date: it was not brought to this store",
    )


def test_what_is_behind_names_the_command_and_what_is_not_nothing() -> None:
    (group,) = outdated_online(standing(online=None), KNOWN)

    assert group.command == f"perennial requeue delivery_eta {DAYS[1]}"
    assert outdated_online(standing(online=(DAYS[1], f"of {DAYS[1]}")), KNOWN) == []


def test_what_was_computed_from_other_rows_than_stand_now_is_behind_although_the_newest_is_online() -> None:
    held = (DAYS[1], f"of {DAYS[1]}")

    assert problem_online(standing(online=held, window="before"), KNOWN) == (
        DAYS[1],
        "online_features is out of date: aggregates is out of date: partials have changed",
    )


def test_what_is_newer_than_all_that_may_be_read_goes_back_and_where_nothing_may_be_its_own_day_is_named() -> None:
    held = (DAYS[1], f"of {DAYS[1]}")

    assert problem_online(standing(online=held, blocked=DAYS[1:]), KNOWN) == (
        DAYS[0],
        f"online_features is out of date: it holds {DAYS[1]}",
    )
    assert problem_online(standing(online=held, blocked=DAYS), KNOWN) == (
        DAYS[1],
        "online_features is out of date: no aggregates may be read",
    )
    assert problem_online(standing(online=None, blocked=DAYS), KNOWN) is None


def test_where_a_source_must_be_read_again_the_command_is_a_backfill_from_the_first_such_day() -> None:
    (group,) = outdated_online(standing(online=None, landed=False), KNOWN)

    assert group.command == f"perennial backfill delivery_eta {DAYS[0]} {DAYS[1]}"


def test_blocked_aggregates_are_not_the_newest() -> None:
    found = newest_known(standing(online=None, blocked=(DAYS[1],)), KNOWN)

    assert found is not None
    assert found[0] == DAYS[0]


def test_a_pipeline_without_aggregates_has_nothing_online() -> None:
    plain = replace(delivery_eta, aggregates=())

    assert ONLINE not in renewed_assets(plain)
    assert problem_online(Standing(pipeline=plain, load=dict[str, History]().__getitem__), KNOWN) is None
