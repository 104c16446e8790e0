"""Offline: the aggregates of each partition's end as files, which Feast's own point-in-time join reads."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

from perennial.declaration import Pipeline
from perennial.featurization.views import feature_views
from perennial.graph.online import AGGREGATES
from perennial.stores.lake.aggregates import read_states
from perennial.stores.lake.tables import Tables
from perennial.stores.online.feature_store import FeatureStore


def save_offline(tables: Tables, feature_store: FeatureStore, pipeline: Pipeline, keys: Collection[str]) -> None:
    """Write the files of the partitions `keys`, and of the one that follows each.

    Feast sees the last row of an entity, however old: one that the end before had and this one has not gets a row of
    nulls. Of two runs at once the later sees what both have made.
    """
    with tables.operations.holding(pipeline.table(AGGREGATES)):
        records = tables.records(pipeline, AGGREGATES)
        there = [key for key, record in records.items() if record.status == "ok"]
        before = {key: earlier for earlier, key in pairwise(there)}
        written = [key for key in there if key in keys or before.get(key) in keys]
        seen = {*written, *(before[key] for key in written if key in before)}
        states = read_states(tables, pipeline, sorted(seen)).partition_by("partition", as_dict=True)
        for view in feature_views(pipeline):
            for key in written:
                rows = view.rows(states.get((key,)), pipeline)
                earlier = view.rows(states.get((before.get(key),)), pipeline)
                gone = view.departures(earlier, rows, pipeline.time.known_at(key))
                feature_store.save_offline(view, key, rows.vstack(gone))
