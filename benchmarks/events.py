"""Events: how many a backfill of a year writes, and what ten times the partitions cost.

python -m benchmarks.events delivery_eta 2024-01-01 2024-12-31

Ends with one line of JSON: the events of the run, its partitions and its assets.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

from benchmarks.homes import fresh_home
from benchmarks.processes import Measured, ratio_of, run_process, seconds_of
from benchmarks.rows import Row

MOST_EVENTS = 4.0
"""Of one partition and asset."""
FIRST, FEW, MANY = date(2024, 1, 1), 36, 360


def run(*, repeats: int = 3) -> list[Row]:
    """Events of a year's backfill, and the time of 360 days over that of 36."""
    from world.files import simulate

    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder), FIRST, FIRST + timedelta(days=365))
        year = _measure(folder, 366).answer
        few, many = [], []
        for _ in range(repeats):
            few.append(_measure(folder, FEW))
            many.append(_measure(folder, MANY))
    each = year["events"] / (year["partitions"] * year["assets"])
    counted = f"{year['events']:,} events of {year['partitions']} partitions x {year['assets']} assets"
    times, limit = ratio_of(seconds_of(many), few=seconds_of(few)), MANY / FEW
    return [
        Row(
            name="366 partitions: events per partition and asset",
            value=each,
            limit=MOST_EVENTS,
            ok=each <= MOST_EVENTS,
            detail=counted,
        ),
        times.row(f"{MANY} partitions: time over {FEW}", limit),
    ]


def main(name: str, first: str, last: str) -> None:
    """Run the data assets over the range and count what was written down."""
    import dagster as dg

    from perennial.graph.stages import data_assets
    from perennial.settings import find_home
    from pipelines.definitions import defs, discovered
    from resources.instance import open_instance
    from resources.runs import run_assets

    pipeline = discovered.named(name)
    assets = [dg.AssetKey([name, asset]) for asset in data_assets(pipeline)]
    with open_instance(find_home(os.environ), os.environ) as instance:
        result = run_assets(instance, defs, assets, (first, last), tags={})
        if not result.success:
            raise RuntimeError("; ".join(map(str, result.errors)))
        events = len(instance.all_logs(result.run_id))
    counted = {"events": events, "partitions": len(pipeline.time.keys(first, last)), "assets": len(assets)}
    sys.stdout.write(json.dumps(counted) + "\n")


def _measure(source: str, days: int) -> Measured:
    span = (FIRST.isoformat(), (FIRST + timedelta(days=days - 1)).isoformat())
    with fresh_home() as environment:
        environment["DELIVERY_ETA_SOURCE"] = source
        return run_process("-m", "benchmarks.events", "delivery_eta", *span, environment=environment)


if __name__ == "__main__":
    main(*sys.argv[1:])
