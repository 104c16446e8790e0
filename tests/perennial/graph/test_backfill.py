"""Backfill: what is not up to date is computed, what is stays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from perennial.graph.backfill import problems_in
from perennial.graph.lineage import STEPS, Standing, inputs_of, steps_of
from perennial.graph.records import PartitionRecord
from pipelines.discovery import discover
from tests.eta import DATA

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

DAYS = [f"2024-01-{day:02d}" for day in range(1, 8)]
PIPELINE: Pipeline = replace(discover().named("delivery_eta"), aggregates=())


def record(key: str, content_hash: str, inputs: dict[str, str]) -> PartitionRecord:
    return PartitionRecord(partition=key, revision=1, content_hash=content_hash, rows=3, inputs=inputs)


def standing(records: dict[str, dict[str, PartitionRecord]]) -> Standing:
    manifest = {name: {key: {1: record} for key, record in by_key.items()} for name, by_key in records.items()}
    return Standing(pipeline=PIPELINE, load=manifest.__getitem__)


def written(keys: list[str]) -> dict[str, dict[str, PartitionRecord]]:
    return {
        name: {
            key: record(
                key, f"{name} {key}", inputs_of(PIPELINE, name, f"{step.parent} {key}" if step.parent else "file")
            )
            for key in keys
        }
        for name, step in ((name, STEPS[name]) for name in DATA)
    }


@given(done=st.sets(st.sampled_from(DAYS)), changed=st.sets(st.sampled_from(DAYS)))
def test_the_rest_of_a_range_is_what_was_not_written_or_whose_file_changed(done: set[str], changed: set[str]) -> None:
    problems = problems_in(standing(written(sorted(done))), DAYS, changed=changed)

    assert set(problems) == (set(DAYS) - done) | changed


@given(table=st.sampled_from(list(DATA)), key=st.sampled_from(DAYS), damage=st.sampled_from(["lost", "blocked"]))
def test_one_lost_or_blocked_table_is_named(table: str, key: str, damage: str) -> None:
    records = written(DAYS)
    if damage == "lost":
        del records[table][key]
    else:
        records[table][key] = replace(records[table][key], status="blocked", reason="a test")

    problems = problems_in(standing(records), DAYS)

    assert list(problems) == [key]
    assert problems[key].startswith(table)


def test_aggregates_are_made_once_for_all_revisions_of_a_partition() -> None:
    """The second landed before anything was made of the first."""
    rolling, manifest = discover().named("delivery_eta"), dict[str, dict[str, dict[int, PartitionRecord]]]()
    for name in steps_of(rolling):
        standing, step = Standing(pipeline=rolling, load=lambda table: manifest.get(table, {})), STEPS[name]
        manifest[name] = {
            DAYS[0]: {
                number: record(
                    DAYS[0],
                    f"{name} {number}",
                    inputs_of(
                        rolling, name, f"{step.parent} {number}" if step.parent else "file",
                        across=standing.across(name, DAYS[0], number),
                    ),
                )
                for number in ((2,) if name == "aggregates" else (1, 2))
            }
        }  # fmt: skip

    assert problems_in(Standing(pipeline=rolling, load=manifest.__getitem__), DAYS[:1]) == {}
