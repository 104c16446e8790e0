"""Graph: partitions through Dagster in this process, as the command line runs them.

    python -m benchmarks.graph delivery_eta 2024-01-01 2024-12-31 features

Ends with one line of JSON: what the tables hold, so that the plain side can be held against it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence

import dagster as dg

from perennial.declaration import Pipeline
from perennial.graph.stages import data_assets, training_assets
from perennial.settings import Home, find_home
from resources.instance import open_instance
from resources.runs import run_assets
from resources.stores import STORES, open_tables

FEATURES = ("landed", "accepted", "quarantined", "partials", "aggregates", "features")


def main(name: str, first: str, last: str, *stages: str) -> None:
    """Run each of `stages` (features, data, training) over the range, one run each."""
    logging.getLogger("dagster").setLevel(logging.ERROR)
    from pipelines.definitions import defs, discovered

    home, pipeline = find_home(os.environ), discovered.named(name)
    with open_instance(home, os.environ) as instance:
        for stage in stages:
            materialize(instance, defs, pipeline, assets_of(pipeline, stage), (first, last))
    answer = trained(home, pipeline, last) if "training" in stages else hashes(home, pipeline, first, last)
    sys.stdout.write(json.dumps(answer) + "\n")


def assets_of(pipeline: Pipeline, stage: str) -> tuple[str, ...]:
    """The names of the assets of a stage."""
    return {"features": FEATURES, "data": data_assets(pipeline), "training": training_assets(pipeline)}[stage]


def materialize(
    instance: dg.DagsterInstance, defs: dg.Definitions, pipeline: Pipeline, names: Sequence[str], keys: tuple[str, str]
) -> None:
    """Run the assets `names` over a range. Raises RuntimeError when the run fails."""
    assets = [dg.AssetKey([pipeline.name, name]) for name in names]
    result = run_assets(instance, defs, assets, keys, tags={})
    if not result.success:
        raise RuntimeError("; ".join(map(str, result.errors)) or f"run {result.run_id} was interrupted")


def hashes(home: Home, pipeline: Pipeline, first: str, last: str) -> dict[str, dict[str, str]]:
    """The content hash of each partition of each table, from the manifest."""
    tables, keys = open_tables(home), pipeline.time.keys(first, last)
    found = {}
    for name in FEATURES:
        records = tables.records(pipeline, name)
        found[name] = {key: records[key].content_hash for key in keys}
    return found


def trained(home: Home, pipeline: Pipeline, as_of: str) -> dict[str, object]:
    """What was chosen from which rows, and every candidate's metrics."""
    artifacts, tables = STORES["artifacts"](home), open_tables(home)
    champion = tables.operations.champion(pipeline.name)
    if champion is None or champion.as_of != as_of:
        raise RuntimeError(f"{pipeline.name}: no version as of {as_of} was released")
    return {
        "training_set": tables.records(pipeline, "training_set")[as_of].content_hash,
        "selected": json.loads(artifacts.get(pipeline.name, as_of, "selected")["choice.json"])["candidate"],
        "metrics": {
            candidate.name: json.loads(artifacts.get(pipeline.name, as_of, candidate.name)["trial.json"])["metrics"]
            for candidate in pipeline.candidates
        },
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
