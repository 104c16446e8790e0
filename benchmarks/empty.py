"""Empty: the same graph with empty bodies, for what Dagster itself costs over a range.

The same assets, partitions and checks in the same definitions, and as many events a partition; nothing is
read, decided or written.
"""

import logging
import os
import sys
from collections.abc import Iterator

import dagster as dg

from assets import ingestion, validation
from assets.pipeline import build_assets
from assets.range_run import RangeRun, range_asset
from benchmarks.graph import assets_of, materialize
from perennial.declaration import Pipeline
from perennial.settings import find_home
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Tables
from resources.instance import open_instance
from resources.stores import resources

GRAPH: tuple[tuple[tuple[str, ...], str, tuple[str, ...], str | None], ...] = (
    (("landed",), "ingestion", (), ingestion.CHECK),
    (("accepted", "quarantined"), "validation", ("landed",), validation.CHECK),
    (("profile",), "validation", ("accepted",), None),
    (("summary",), "validation", ("accepted",), None),
    (("partials",), "featurization", ("accepted",), None),
    (("aggregates",), "featurization", ("partials",), None),
    (("features",), "featurization", ("accepted", "aggregates"), None),
    (("labels",), "labels", ("accepted",), None),
    (("online_features",), "featurization", ("aggregates",), None),
)
"""Of each step: its assets, its stage, what it reads, and its check."""


def main(name: str, first: str, last: str, stage: str) -> None:
    """Run the empty assets of `stage` over the range."""
    logging.getLogger("dagster").setLevel(logging.ERROR)
    from pipelines.definitions import discovered

    home, pipeline = find_home(os.environ), discovered.named(name)
    empty = [build_empty(pipeline, *step) for step in GRAPH]
    replaced = {key for asset in empty for key in asset.keys}
    others = [a for p in discovered.pipelines for a in build_assets(p) if not replaced & set(a.keys)]
    defs = dg.Definitions(assets=[*empty, *others], resources=resources(), executor=dg.in_process_executor)
    with open_instance(home, os.environ) as instance:
        materialize(instance, defs, pipeline, assets_of(pipeline, stage), (first, last))


def build_empty(
    pipeline: Pipeline, names: tuple[str, ...], stage: str, deps: tuple[str, ...], check: str | None
) -> dg.AssetsDefinition:
    """One step of the graph that reports every partition and does nothing else."""

    @range_asset(pipeline, *names, stage=stage, deps=deps, description="nothing", check=check)
    def empty(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],  # noqa: ARG001 - the report of a check asks for both
        clock: dg.ResourceParam[Clock],  # noqa: ARG001
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, *names, check=check)
        for keys in run.batches(dict.fromkeys(run.keys, 0)):
            for key in keys:
                run.written(key, {"rows": 0})
                for name in names[1:]:
                    run.materialized(key, {"rows": 0}, name)
        yield from run.finish()

    return empty


if __name__ == "__main__":
    main(*sys.argv[1:])
