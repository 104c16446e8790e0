"""Online: the newest aggregates of each entity, where the server looks them up; all of them, for Feast's own join."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.describe import instant, table
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.featurization.views import feature_views
from perennial.graph.online import ONLINE as NAME
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Tables
from perennial.stores.online.feature_store import FeatureStore, Materialized
from perennial.stores.online.materialization import materialize_newest
from perennial.stores.online.offline import save_offline


def build_online_features(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the online_features asset of `pipeline`."""

    @range_asset(
        pipeline,
        NAME,
        stage="featurization",
        deps=["aggregates"],
        description="The newest aggregates known, in the online store; those of each partition as files for Feast.",
        kinds=frozenset({"feast", "parquet"}),
        metadata={"feature views": _catalogue(pipeline)},
    )
    def online_features(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        feature_store: dg.ResourceParam[FeatureStore],
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, NAME)
        aggregates = run.upstream(tables, "aggregates")
        for keys in run.batches({key: record.rows for key, record in aggregates.items()}):
            save_offline(tables, feature_store, pipeline, keys)

        done = materialize_newest(tables, feature_store, pipeline, clock=clock)

        for key in aggregates:
            run.written(key, _described(done))
        yield from run.finish()

    return online_features


def _described(done: dict[str, Materialized]) -> dict[str, Any]:
    """What is online now, by feature view."""
    rows = [
        {
            "view": name,
            "partition": one.state.partition,
            "known since": instant(one.state.known_at) if one.state.known_at else "",
            "entities": one.state.entities,
            "written": one.written,
            "removed": one.removed,
        }
        for name, one in done.items()
    ]
    return {"online": table(rows)}


def _catalogue(pipeline: Pipeline) -> dg.MarkdownMetadataValue:
    """Each feature view: its entity and its features."""
    return table(
        {"view": view.name, "entity": ", ".join(view.by), "features": ", ".join(view.features)}
        for view in feature_views(pipeline)
    )
