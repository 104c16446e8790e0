"""Offline: the aggregates of each partition's end as files, which Feast's own point-in-time join reads."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import polars as pl

from perennial.declaration import Pipeline
from perennial.featurization.views import FeatureView, feature_views
from perennial.graph.online import AGGREGATES
from perennial.stores.lake.aggregates import read_states
from perennial.stores.lake.tables import Tables
from perennial.stores.online.feature_store import FeatureStore

OFFLINE = "offline_features"
"""Who writes the files holds it."""


def save_offline(tables: Tables, feature_store: FeatureStore, pipeline: Pipeline, keys: Iterable[str]) -> None:
    """Write the files of the partitions `keys`, of which each view has one; that of one not to be read stands.

    Feast sees the last row of an entity, however old: one that has left since the file before gets a row of nulls, in
    these files and in the one that follows them. So the order in which partitions come does not matter.

    Raises PerennialError when another run has been at it for BUSY_SECONDS.
    """
    with tables.operations.holding(pipeline.table(OFFLINE)):
        records = tables.records(pipeline, AGGREGATES)
        there = sorted(key for key in set(keys) if key in records and records[key].status == "ok")
        states = read_states(tables, pipeline, there).partition_by("partition", as_dict=True)
        for view in feature_views(pipeline):
            made = {key: view.rows(states.get((key,)), pipeline) for key in there}
            _save(feature_store, view, pipeline, made)


def _save(feature_store: FeatureStore, view: FeatureView, pipeline: Pipeline, made: dict[str, pl.DataFrame]) -> None:
    """Write the rows that were `made` anew, by partition, and who has left in the file behind them."""

    def rows_of(key: str) -> pl.DataFrame:
        if key in made:
            return made[key]
        return view.without_departures(feature_store.read_offline(view, key), pipeline.time.known_at(key))

    for earlier, key in pairwise(["", *sorted({*feature_store.offline_partitions(view), *made})]):
        if key in made or earlier in made:
            rows = rows_of(key)
            before = rows_of(earlier) if earlier else rows.clear()
            gone = view.departures(before, rows, pipeline.time.known_at(key))
            feature_store.save_offline(view, key, rows.vstack(gone))
