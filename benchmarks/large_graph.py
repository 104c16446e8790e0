"""Large graph: the generated partition through data assets by Dagster, as the code location builds them.

    python -m benchmarks.large_graph         from landed to features
    python -m benchmarks.large_graph all     every data asset, of a pipeline with aggregates and labels that mature

Ends with one line of JSON: the rows of each table.
"""

from __future__ import annotations

import json
import os
import sys

import dagster as dg

from assets.pipeline import build_assets
from benchmarks.till import DAY, full_till, till
from perennial.graph.lineage import steps_of
from perennial.graph.stages import data_assets
from perennial.settings import find_home
from resources.ending import end_at_once
from resources.instance import open_instance
from resources.runs import run_assets
from resources.stores import open_tables, resources

TABLES = ("landed", "accepted", "features")


def main(which: str = "features") -> None:
    """Run the data assets, those up to `features` or all."""
    end_at_once()  # as the code location does
    home, pipeline = find_home(os.environ), full_till if which == "all" else till
    names = data_assets(pipeline) if which == "all" else (*TABLES, "quarantined")
    shown = steps_of(pipeline) if which == "all" else TABLES
    definitions = dg.Definitions(assets=build_assets(pipeline), resources=resources(), executor=dg.in_process_executor)
    with open_instance(home, os.environ) as instance:
        keys = [dg.AssetKey([pipeline.name, name]) for name in names]
        result = run_assets(instance, definitions, keys, (DAY, DAY), tags={})
    if not result.success:
        raise RuntimeError("; ".join(str(error) for error in result.errors))
    tables = open_tables(home)
    written = {name: tables.records(pipeline, name)[DAY].rows for name in shown}
    sys.stdout.write(json.dumps(written) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
