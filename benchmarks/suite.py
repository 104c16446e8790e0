"""Suite: Great Expectations on a real taxi month, as the graph asks it."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.months import taxi_sources
from benchmarks.rows import Row

LIMIT = 0.5
"""Seconds."""
MONTH = "2023-03"


def run(*, repeats: int = 5) -> list[Row]:
    """The least time to divide and judge the month, once Great Expectations is imported."""
    from perennial.ingestion.landing import land
    from perennial.stores.lake.lakehouse import Lakehouse
    from perennial.stores.lake.lookups import Lookups
    from perennial.stores.sources import Sources
    from perennial.validation.verdicts import judge_partitions, split_rows
    from pipelines.taxi_eta import taxi_eta

    with tempfile.TemporaryDirectory() as folder:
        sources = Sources(home=Path(folder), environment=taxi_sources())
        lookups = Lookups(lakehouse=Lakehouse(root=f"{folder}/lake"), sources=sources)
        lookups.refresh(taxi_eta, at=datetime.now(UTC))
        arrival = sources.read(taxi_eta, MONTH, fetched_at=datetime.now(UTC))
        landed = land(taxi_eta, lookups.join(taxi_eta, arrival)).frame

    def validate() -> float:
        start = time.perf_counter()
        judge_partitions(split_rows(landed, taxi_eta.judged, taxi_eta.time), taxi_eta.judged)
        return time.perf_counter() - start

    validate()
    seconds = min(validate() for _ in range(repeats))
    detail = f"{landed.height:,} rows, {len(taxi_eta.judged)} expectations"
    return [
        Row(name="a taxi month: seconds to validate", value=seconds, limit=LIMIT, ok=seconds <= LIMIT, detail=detail)
    ]
