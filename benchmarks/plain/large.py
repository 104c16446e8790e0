"""Plain large: one streaming query of Polars from a file to landed, accepted and features, and no more.

python -m benchmarks.plain.large FOLDER_OF_THE_FILE FOLDER_TO_WRITE
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from benchmarks.till import DAY, KINDS, till
from perennial.featurization.expressions import selection


def main(source: str, target: str) -> None:
    """Write the three tables and end with one line of JSON: the rows of each."""
    start = datetime.fromisoformat(DAY)
    landed = pl.scan_parquet(Path(source) / f"sales_{DAY}.parquet").with_columns(
        event_time=till.time.utc("sold_at"),
        known_at=pl.lit(till.time.known_at(DAY)).cast(pl.Datetime("us", "UTC")),
    )
    span = pl.col("done_at") - pl.col("sold_at")
    accepted = landed.filter(
        pl.col("sale").is_not_null(),
        (pl.col("price") > 0) & (pl.col("price") <= 500),
        pl.col("items").is_between(1, 50),
        pl.col("kind").is_in(KINDS),
        pl.col("sold_at").is_between(start, start + timedelta(days=1), closed="left"),
        span.is_between(timedelta(0), timedelta(hours=30)),
    )
    features = accepted.select("sale", "event_time", "known_at", *selection(till.checked_features))
    tables = {"landed": landed, "accepted": accepted, "features": features}
    sinks = [
        rows.sink_parquet(Path(target) / f"{name}.parquet", compression="snappy", lazy=True)
        for name, rows in tables.items()
    ]
    pl.collect_all(sinks, engine="streaming")
    written = {
        name: pl.scan_parquet(Path(target) / f"{name}.parquet").select(pl.len()).collect().item() for name in tables
    }
    sys.stdout.write(json.dumps(written) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
