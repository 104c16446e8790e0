"""Materialization: brings the newest aggregates of a pipeline from the lake into the online store."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from perennial.declaration import Pipeline
from perennial.featurization.views import feature_views
from perennial.graph.online import AGGREGATES, ONLINE
from perennial.graph.records import PartitionRecord
from perennial.stores.lake.aggregates import read_states
from perennial.stores.lake.tables import Tables
from perennial.stores.online.feature_store import FeatureStore, Materialized, Moment


def materialize_newest(
    tables: Tables, feature_store: FeatureStore, pipeline: Pipeline, *, at: datetime
) -> dict[str, Materialized]:
    """Bring online what is newest of each feature view among what was known `at`; nothing before there is any.

    The manifest then says which aggregates were brought, so that anyone can tell when the lake knows newer ones.
    """
    standing = {key: r for key, r in tables.records(pipeline, AGGREGATES).items() if r.status == "ok"}
    known = [key for key in standing if pipeline.time.known_at(key) <= at]
    if not known:
        return {}
    newest = max(known)
    done = {}
    read = read_states(tables, pipeline, [newest])
    for view in feature_views(pipeline):
        states = view.rows(read, pipeline)
        moments = states.filter(pl.col("known_at") <= at).get_column("known_at").to_list()
        moment = Moment(partition=newest, known_at=max([pipeline.time.known_at(newest), *moments]))
        done[view.name] = feature_store.materialize(view, states, moment, at=at)
    brought = _brought(standing[newest], entities=sum(one.state.entities for one in done.values()))
    tables.operations.record_partitions(pipeline.name, ONLINE, [brought], at=at)
    return done


def _brought(aggregates: PartitionRecord, *, entities: int) -> PartitionRecord:
    """What to record of the aggregates that are online now."""
    return PartitionRecord(
        partition=aggregates.partition,
        revision=aggregates.revision,
        content_hash=aggregates.content_hash,
        rows=entities,
        inputs={AGGREGATES: aggregates.content_hash},
        known_at=aggregates.known_at,
    )
