"""Lineage: a partition is up to date exactly when nothing it was made from has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import Late, Pipeline, Windows, col, days
from perennial.graph.lineage import STEPS, Standing, inputs_of
from perennial.graph.records import PartitionRecord
from pipelines.delivery_eta import delivery_eta as with_aggregates
from tests.eta import DATA

KEY = "2024-01-05"
delivery_eta = replace(with_aggregates, aggregates=())
"""What reads several partitions has tests of its own."""
Records = dict[str, dict[str, PartitionRecord]]
CHANGES: dict[str, Any] = {
    "schema": replace(delivery_eta.schema, allow_additional=True),
    "time": replace(delivery_eta.time, known_after=days(2)),
    "expectations": list(delivery_eta.expectations)[1:],
    "features": [*delivery_eta.features, (col("items") * 2).alias("twice")],
    "late": Late(accept_for=days(3)),
    "label": replace(delivery_eta.label, delay=days(1)),
    "key": ["order_id", "delivered_at"],
    "windows": Windows(train=3),
    "owner": "team:other",
    "seed": 7,
}


def standing() -> Records:
    """The manifest of one partition after a clean run."""
    records: Records = {}
    for name, step in ((name, STEPS[name]) for name in DATA):
        parent = records[step.parent][KEY].content_hash if step.parent else "sha of the file"
        inputs = inputs_of(delivery_eta, name, parent)
        records[name] = {
            KEY: PartitionRecord(partition=KEY, revision=1, content_hash=f"{name} rows", rows=3, inputs=inputs)
        }
    return records


def problem_with(pipeline: Pipeline, name: str, records: Records) -> str | None:
    manifest = {table: {key: {r.revision: r} for key, r in by_key.items()} for table, by_key in records.items()}
    return Standing(pipeline=pipeline, load=manifest.__getitem__).problem_with(name, KEY)


def ancestors(name: str) -> list[str]:
    parent = STEPS[name].parent
    return [*(ancestors(parent) if parent else []), name]


def altered(records: Records, name: str, **changes: Any) -> Records:
    return records | {name: {KEY: replace(records[name][KEY], **changes)}}


@pytest.mark.parametrize("name", DATA)
def test_what_a_clean_run_made_is_up_to_date(name: str) -> None:
    assert problem_with(delivery_eta, name, standing()) is None


@given(name=st.sampled_from(list(DATA)), other=st.sampled_from(list(DATA)))
def test_a_missing_table_is_a_problem_of_all_that_is_made_from_it(name: str, other: str) -> None:
    records = standing() | {other: {}}

    problem = problem_with(delivery_eta, name, records)

    assert problem == (f"{other} is missing" if other in ancestors(name) else None)


@given(name=st.sampled_from(list(DATA)), other=st.sampled_from(list(DATA)))
def test_a_blocked_table_is_a_problem_of_all_that_is_made_from_it(name: str, other: str) -> None:
    records = altered(standing(), other, status="blocked", reason="no file")

    problem = problem_with(delivery_eta, name, records)

    assert problem == (f"{other} is blocked: no file" if other in ancestors(name) else None)


@given(name=st.sampled_from(list(DATA)), other=st.sampled_from(list(DATA)))
def test_new_rows_put_all_that_is_made_from_them_out_of_date(name: str, other: str) -> None:
    records = altered(standing(), other, content_hash="new rows")

    problem = problem_with(delivery_eta, name, records)

    below = ancestors(name)[ancestors(name).index(other) + 1 :] if other in ancestors(name) else []
    assert problem == (f"{below[0]} is out of date: {other} has changed" if below else None)


@given(name=st.sampled_from(list(DATA)), field=st.sampled_from(list(CHANGES)))
def test_a_changed_declaration_puts_out_of_date_what_its_field_decides_and_nothing_else(name: str, field: str) -> None:
    changed = replace(delivery_eta, **{field: CHANGES[field]})

    problem = problem_with(changed, name, standing())

    touched = [step for step in ancestors(name) if {"schema": "casting"}.get(field, field) in STEPS[step].declared]
    assert problem == (f"{touched[0]} is out of date: its declaration has changed" if touched else None)
