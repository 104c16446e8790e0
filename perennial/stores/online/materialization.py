"""Materialization: brings the newest aggregates of a pipeline from the lake into the online store."""

from __future__ import annotations

import polars as pl

from perennial.declaration import Pipeline
from perennial.featurization.views import feature_views
from perennial.graph.online import AGGREGATES, ONLINE, newest_known
from perennial.graph.records import PartitionRecord
from perennial.stores.clock import Clock
from perennial.stores.lake.aggregates import read_states
from perennial.stores.lake.tables import Tables
from perennial.stores.online.feature_store import FeatureStore, Materialized, Moment


def materialize_newest(
    tables: Tables, feature_store: FeatureStore, pipeline: Pipeline, *, clock: Clock
) -> dict[str, Materialized]:
    """Bring online what is newest of each feature view among what is known now; nothing before there is any.

    Who comes last has looked last, so that what is online may also go back: where the newest aggregates may not
    be read any more, to those before them. The manifest then says which were brought, so that anyone can tell
    when the lake knows others.
    """
    with feature_store.alone(pipeline.name):
        at = clock.now()
        known = newest_known(tables.standing(pipeline), at)
        if known is None:
            return {}
        newest, aggregates = known
        done = {}
        read = read_states(tables, pipeline, [newest])
        for view in feature_views(pipeline):
            states = view.rows(read, pipeline)
            moments = states.filter(pl.col("known_at") <= at).get_column("known_at").to_list()
            moment = Moment(partition=newest, known_at=max([pipeline.time.known_at(newest), *moments]))
            done[view.name] = feature_store.materialize(view, states, moment, at=at)
        brought = _brought(aggregates, entities=sum(one.state.entities for one in done.values()))
        tables.operations.record_partitions(pipeline.name, ONLINE, [brought], at=at)
    return done


def _brought(aggregates: PartitionRecord, *, entities: int) -> PartitionRecord:
    """The one record of what is online: it takes the place of the one before."""
    return PartitionRecord(
        partition=ONLINE,
        revision=1,
        content_hash=aggregates.content_hash,
        rows=entities,
        inputs={AGGREGATES: aggregates.content_hash},
        provenance={"partition": aggregates.partition},
        known_at=aggregates.known_at,
    )
