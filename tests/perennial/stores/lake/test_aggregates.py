"""Aggregates from the lake: the last accepted revision of a partition counts until the next accepted one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from perennial import Rolling
from perennial.featurization.lineage import in_window
from perennial.featurization.partials import partial_rows
from perennial.graph.lineage import inputs_of
from perennial.stores.lake.aggregates import compute_states
from perennial.stores.lake.tables import Outcome, Tables, derived
from tests.lake import AT, open_tables
from tests.perennial.ingestion.test_revisions import DAY, END, SHOP, Rows, delivered

COUNTED = replace(SHOP, aggregates=[Rolling(by="sale", how="count", days=7, default=0.0)])
AFTER = "2024-03-03"


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    tables = open_tables(tmp_path)
    land(tables, [(1, 1.0), (2, 2.0)], revision=1)
    yield tables
    tables.operations.close()


def land(tables: Tables, rows: Rows, *, revision: int, blocked: str | None = None) -> None:
    """What the assets up to the partials do with one delivery of DAY, which validation may block."""
    landed = delivered(rows, pipeline=COUNTED)
    known_at = landed.known_at + timedelta(hours=5 * (revision - 1))
    frame = landed.frame.with_columns(known_at=pl.lit(known_at).cast(pl.Datetime("us", "UTC")))
    outcome = Outcome(inputs=inputs_of(COUNTED, "landed", f"file {revision}"), known_at=known_at, revision=revision)
    record = tables.save(COUNTED, "landed", frame, {DAY: outcome}, at=AT)[DAY]
    accepted = derived(COUNTED, "accepted", record, blocked=blocked)
    record = tables.save(COUNTED, "accepted", frame, {DAY: accepted}, at=AT)[DAY]
    if not blocked:
        partials = partial_rows(frame, COUNTED)
        tables.save(COUNTED, "partials", partials, {DAY: derived(COUNTED, "partials", record)}, at=AT)


def counts(tables: Tables) -> dict[int, float | None]:
    """By sale: the newest count at the end of the day behind DAY."""
    states = compute_states(tables, tables.standing(COUNTED), [AFTER]).sort("known_at")
    return dict(states.select("sale", COUNTED.checked_aggregates[0].name).rows())


def test_a_correction_that_validation_blocks_leaves_the_accepted_rows_in_their_windows(tables: Tables) -> None:
    standing = tables.standing(COUNTED)
    before, reads = compute_states(tables, standing, [AFTER]), in_window(standing, AFTER, 1)
    assert counts(tables) == {1: 1.0, 2: 1.0}

    land(tables, [(1, -1.0)], revision=2, blocked="rows are negative")

    assert compute_states(tables, tables.standing(COUNTED), [AFTER]).equals(before)
    assert in_window(tables.standing(COUNTED), AFTER, 1) == reads, "nothing is to be made again"


def test_a_delivery_that_cannot_be_read_leaves_the_accepted_rows_in_their_windows(tables: Tables) -> None:
    before = compute_states(tables, tables.standing(COUNTED), [AFTER])

    tables.block(COUNTED, "landed", DAY, Outcome(blocked="a page", known_at=END + timedelta(hours=5)), at=AT)

    assert compute_states(tables, tables.standing(COUNTED), [AFTER]).equals(before)


def test_the_next_accepted_correction_takes_their_place(tables: Tables) -> None:
    land(tables, [(1, -1.0)], revision=2, blocked="rows are negative")
    land(tables, [(1, 1.0), (3, 3.0)], revision=3)

    assert counts(tables).get(3) == 1.0
    assert counts(tables).get(2) is None
