"""Materialization: brings the newest aggregates of a pipeline from the lake into the online store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import polars as pl

from perennial.declaration import Pipeline
from perennial.featurization.states import state_schema
from perennial.featurization.views import feature_views
from perennial.graph.online import AGGREGATES, ONLINE, newest_known
from perennial.graph.records import UNFINISHED, PartitionRecord
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Tables
from perennial.stores.online.feature_store import FeatureStore, Materialized, Moment


def materialize_newest(
    tables: Tables, feature_store: FeatureStore, pipeline: Pipeline, *, clock: Clock
) -> dict[str, Materialized]:
    """Bring online what is newest of each feature view among what is known now; nothing before there is any.

    Who comes last has looked last, on whichever machine, so that what is online may also go back: where the newest
    aggregates may not be read any more, to those before them. The manifest then says which were brought, so that
    anyone can tell when the lake knows others; from before the first write until then it says that they are being
    written.

    Raises PerennialError when another run has been at it for BUSY_SECONDS: this one has written nothing then, and
    the status names what is out of date, and the command, until a later run has brought it.
    """
    with tables.operations.holding(pipeline.table(ONLINE)):
        at = clock.now()
        found = _newest(tables, pipeline, at)
        if found is None:
            return {}
        aggregates, rows = found
        brought = _brought(aggregates, feature_store.place)
        _record(tables, pipeline, _being_written(brought), at)
        done = {}
        for view in feature_views(pipeline):
            states = view.rows(rows, pipeline)
            moment = _moment(pipeline, aggregates.partition, states, at)
            done[view.name] = feature_store.materialize(view, states, moment, at=at)
        _record(tables, pipeline, replace(brought, rows=sum(one.state.entities for one in done.values())), at)
    return done


def _newest(tables: Tables, pipeline: Pipeline, at: datetime) -> tuple[PartitionRecord, pl.DataFrame] | None:
    """The record of the newest aggregates and their rows, which are those of that record."""
    with tables.operations.holding(pipeline.table(AGGREGATES)):  # nobody writes others between the two
        known = newest_known(tables.standing(pipeline), at)
        if known is None:
            return None
        key, aggregates = known
        rows = tables.read(pipeline, AGGREGATES, {key: aggregates.revision})
    return aggregates, rows.select(state_schema(pipeline).names())


def _moment(pipeline: Pipeline, newest: str, states: pl.DataFrame, at: datetime) -> Moment:
    """The last of the `states` at the end of `newest` that was known `at`."""
    moments = states.filter(pl.col("known_at") <= at).get_column("known_at").to_list()
    return Moment(partition=newest, known_at=max([pipeline.time.known_at(newest), *moments]))


def _brought(aggregates: PartitionRecord, store: str) -> PartitionRecord:
    """The one record of what is online, whose rows are yet to be counted: it takes the place of the one before."""
    return PartitionRecord(
        partition=ONLINE,
        revision=1,
        content_hash=aggregates.content_hash,
        rows=0,
        inputs={AGGREGATES: aggregates.content_hash},
        provenance={"partition": aggregates.partition, "store": store},
        known_at=aggregates.known_at,
    )


def _being_written(brought: PartitionRecord) -> PartitionRecord:
    """The same while it is not true yet: a run that dies leaves no claim on what it wrote."""
    return replace(brought, content_hash="", inputs={}, status="blocked", reason=UNFINISHED)


def _record(tables: Tables, pipeline: Pipeline, record: PartitionRecord, at: datetime) -> None:
    tables.operations.record_partitions(pipeline.name, ONLINE, [record], at=at)
