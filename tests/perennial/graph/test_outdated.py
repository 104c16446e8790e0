"""Out of date: what no longer follows is named once, at the table that is to be mended, with the command."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from perennial.graph.lineage import STEPS
from perennial.graph.outdated import learned_from_other, outdated, outdated_in, told
from perennial.graph.records import PartitionRecord
from tests.sensors.conftest import World, world

__all__ = ["world"]
KEYS = ("2024-01-01", "2024-01-02", "2024-01-03")


def test_what_stands_is_not_named(world: World) -> None:
    world.fill(*KEYS)

    standing = world.stores["tables"].standing(world.pipeline)

    assert outdated(standing) == []
    assert [outdated_in(standing, name) for name in STEPS] == [{}] * len(STEPS)
    assert told({}, 3) == "all of 3 partitions are up to date, or blocked by a check of their own"


def test_a_changed_feature_names_the_features_of_every_partition_and_the_backfill(world: World) -> None:
    world.fill(*KEYS)
    changed = replace(world.pipeline, features=[pl.col("zone")])

    groups = {g.table: g for g in outdated(world.stores["tables"].standing(changed))}

    group = groups["features"]
    assert group.keys == KEYS
    assert group.reason == "features is out of date: its declaration has changed"
    assert group.command == "perennial backfill eta 2024-01-01 2024-01-03"
    assert not group.is_blocked


def test_a_blocked_partition_is_named_once_and_asks_for_a_requeue(world: World) -> None:
    world.fill(*KEYS, blocked=("2024-01-02",))

    (group,) = outdated(world.stores["tables"].standing(world.pipeline))

    assert (group.table, group.keys, group.is_blocked) == ("accepted", ("2024-01-02",), True)
    assert group.command == "mend the file or the rule, then perennial requeue eta 2024-01-02"


def test_a_training_set_that_read_other_rows_is_named_with_the_partitions(world: World) -> None:
    world.fill(*KEYS)
    standing = world.stores["tables"].standing(world.pipeline)
    inputs = {f"features/{key}": standing.history("features")[key][1].content_hash for key in KEYS}
    sets = {"2024-01-03": PartitionRecord(partition="2024-01-03", revision=1, content_hash="x", rows=1, inputs=inputs)}

    assert learned_from_other(standing, sets) == {}
    sets["2024-01-03"] = replace(sets["2024-01-03"], inputs=inputs | {"features/2024-01-02": "before"})
    assert learned_from_other(standing, sets) == {"2024-01-03": ["2024-01-02"]}
