"""Large graph: the generated partition from landed to features by Dagster, as the code location builds its assets.

python -m benchmarks.large_graph
"""

from __future__ import annotations

import json
import os
import sys

import dagster as dg

from assets.pipeline import build_assets
from benchmarks.till import DAY, till
from perennial.settings import find_home
from resources.instance import open_instance
from resources.runs import run_assets
from resources.stores import open_tables, resources

TABLES = ("landed", "accepted", "features")


def main() -> None:
    """Run the data assets and end with one line of JSON: the rows of each table."""
    home = find_home(os.environ)
    definitions = dg.Definitions(assets=build_assets(till), resources=resources(), executor=dg.in_process_executor)
    with open_instance(home, os.environ) as instance:
        keys = [dg.AssetKey([till.name, name]) for name in (*TABLES, "quarantined")]
        result = run_assets(instance, definitions, keys, (DAY, DAY), tags={})
    if not result.success:
        raise RuntimeError("; ".join(str(error) for error in result.errors))
    tables = open_tables(home)
    written = {name: tables.records(till, name)[DAY].rows for name in TABLES}
    sys.stdout.write(json.dumps(written) + "\n")


if __name__ == "__main__":
    main()
