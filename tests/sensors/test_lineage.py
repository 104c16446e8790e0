"""Lineage: a declaration that changed makes its assets' checks warn, without a run, once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dagster as dg
import polars as pl

from perennial.graph.outdated import CHECK, derived_tables
from sensors.lineage import build_lineage
from tests.sensors.conftest import World

KEYS = ("2024-01-01", "2024-01-02")


def tick(world: World, cursor: str | None = None) -> Any:
    return world.tick(build_lineage(world.pipeline), cursor)


def found(world: World, name: str) -> list[tuple[bool, str | None]]:
    """What the check of table `name` found, the newest first."""
    key = dg.AssetCheckKey(dg.AssetKey(["eta", name]), CHECK)
    history = world.instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    evaluations = [record.evaluation for record in history if record.evaluation]
    return [(evaluation.passed, evaluation.description) for evaluation in evaluations]


def test_what_stands_passes_and_is_reported_once(world: World) -> None:
    world.fill(*KEYS)

    first = tick(world)
    tick(world, first.cursor)

    for name in derived_tables(world.pipeline):
        ((passed, words),) = found(world, name)
        assert passed
        assert words == "all of 2 partitions are up to date, or blocked by a check of their own"


def test_a_changed_rule_warns_of_all_that_follows_from_it_and_names_the_reason(world: World) -> None:
    world.fill(*KEYS)
    cursor = tick(world).cursor
    world.pipeline = replace(world.pipeline, features=[pl.col("zone")])

    tick(world, cursor)

    assert found(world, "features")[0] == (
        False,
        "2 of 2 partitions are out of date: features is out of date: its declaration has changed (2 of them)",
    )
    assert [passed for passed, _ in found(world, "labels")] == [True]


def test_a_blocked_partition_is_left_to_the_check_that_blocks_it(world: World) -> None:
    world.fill(*KEYS, blocked=("2024-01-02",))

    tick(world)

    assert [passed for passed, _ in found(world, "features")] == [True]


def test_it_says_nothing_before_something_landed(world: World) -> None:
    assert tick(world).skip_message == "nothing has landed, or a run renews it now"
