"""Materialization: brings the newest aggregates of a pipeline from the lake into the online store."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from perennial.declaration import Pipeline
from perennial.featurization.views import feature_views
from perennial.stores.lake.aggregates import read_states
from perennial.stores.lake.tables import Tables
from perennial.stores.online.feature_store import FeatureStore, Materialized, Moment


def materialize_newest(
    tables: Tables, feature_store: FeatureStore, pipeline: Pipeline, *, at: datetime
) -> dict[str, Materialized]:
    """Bring online what is newest of each feature view among what was known `at`; nothing before there is any."""
    standing = {key: r for key, r in tables.records(pipeline, "aggregates").items() if r.status == "ok"}
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
    return done
