"""Lake: the data tables of the first simulated days, made by the rules alone, for tests of what reads them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from perennial.declaration import Pipeline
from perennial.featurization.expressions import featurize_rows
from perennial.graph.lineage import inputs_of
from perennial.ingestion.landing import Arrival, land
from perennial.labels.labelling import label_rows
from perennial.settings import home_at
from perennial.stores.lakehouse import Lakehouse
from perennial.stores.operations import Operations
from perennial.stores.tables import Outcome, Tables
from perennial.validation.summaries import summarize_partitions
from perennial.validation.verdicts import split_rows
from world.city import City
from world.files import told_orders

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"]
AT = datetime(2024, 2, 1, tzinfo=UTC)


def fill(tables: Tables, pipeline: Pipeline) -> None:
    """What the data assets do, over all of DAYS."""
    city = City()
    landed = pl.concat(land(pipeline, arrival(city, day)).frame for day in DAYS)
    hashes = dict.fromkeys(DAYS, "the file")
    split = split_rows(landed, pipeline.judged, pipeline.time)
    for name, rows in (
        ("landed", landed),
        ("accepted", split.accepted),
        ("features", featurize_rows(split.accepted, pipeline)),
        ("labels", label_rows(split.accepted, pipeline)),
        ("summary", summarize_partitions(split.accepted.select([*pipeline.schema.names, "partition"]), pipeline)),
    ):
        judged = {"verdict": "pass"} if name == "summary" else {}
        outcomes = {day: Outcome(inputs=inputs_of(pipeline, name, hashes[day]), provenance=judged) for day in DAYS}
        saved = tables.save(pipeline, name, rows, outcomes, at=AT)
        if name in ("landed", "accepted"):
            hashes = {day: record.content_hash for day, record in saved.items()}


def arrival(city: City, day: str) -> Arrival:
    return Arrival(
        partition=day,
        rows=told_orders(city, date.fromisoformat(day)),
        uri="file:///orders.parquet",
        sha256="the file",
        size=1,
        signature="1",
        fetched_at=AT,
    )


def open_tables(root: Path) -> Tables:
    home = home_at(root)
    root.mkdir(parents=True, exist_ok=True)
    operations = Operations(home.operations_url)
    operations.migrate()
    return Tables(lakehouse=Lakehouse(root=home.lake), operations=operations)
