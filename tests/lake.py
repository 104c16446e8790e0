"""Lake: the data tables of the first simulated days, made by the rules alone, for tests of what reads them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from perennial.declaration import Pipeline
from perennial.featurization.expressions import featurize_rows
from perennial.featurization.partials import partial_rows
from perennial.graph.lineage import STEPS, inputs_of
from perennial.ingestion.landing import Arrival, land
from perennial.labels.labelling import label_rows
from perennial.settings import home_at
from perennial.stores.lake.aggregates import compute_states, with_aggregates
from perennial.stores.lake.judging import Judging
from perennial.stores.lake.lakehouse import Lakehouse
from perennial.stores.lake.tables import Outcome, Tables
from perennial.stores.operations import Operations
from perennial.validation.seasons.summaries import summarize_partitions
from perennial.validation.verdicts import split_rows
from world.city import City
from world.files import told_orders

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"]
AT = datetime(2024, 2, 1, tzinfo=UTC)


def fill(tables: Tables, pipeline: Pipeline) -> None:
    """What the data assets do, over all of DAYS."""
    city = City()
    landed = pl.concat(land(pipeline, arrival(city, day)).frame for day in DAYS)
    split = split_rows(landed, pipeline.judged, pipeline.time)
    summary = summarize_partitions(split.accepted.select([*pipeline.schema.names, "partition"]), pipeline)
    save(tables, pipeline, "landed", landed)
    save(tables, pipeline, "accepted", split.accepted)
    save(tables, pipeline, "labels", label_rows(split.accepted, pipeline))
    save(tables, pipeline, "summary", summary)
    Judging(tables, pipeline, asked=DAYS).judge(DAYS, at=AT)
    if pipeline.aggregates:
        save(tables, pipeline, "partials", partial_rows(split.accepted, pipeline))
        save(tables, pipeline, "aggregates", compute_states(tables, tables.standing(pipeline), DAYS))
    save(tables, pipeline, "features", featurize_rows(with_aggregates(tables, pipeline, split.accepted), pipeline))


def save(tables: Tables, pipeline: Pipeline, name: str, rows: pl.DataFrame) -> None:
    """Save DAYS of a data table as its asset would."""
    standing, parent = tables.standing(pipeline), STEPS[name].parent
    made_from = {day: parent and standing.record(parent, day) for day in DAYS}
    outcomes = {
        day: Outcome(
            inputs=inputs_of(
                pipeline, name, record.content_hash if record else "the file",
                across=standing.across(name, day, 1) if STEPS[name].across else None,
            )
        )
        for day, record in made_from.items()
    }  # fmt: skip
    tables.save(pipeline, name, rows, outcomes, at=AT)


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


def filled_home(root: Path, pipeline: Pipeline) -> Path:
    """A home with the data tables of DAYS, closed, for `copied_tables`."""
    tables = open_tables(root)
    fill(tables, pipeline)
    tables.operations.close()
    return root


@contextmanager
def copied_tables(filled: Path, root: Path) -> Iterator[Tables]:
    """The tables of a copy of the home `filled` in `root`, open."""
    shutil.copytree(filled, root)
    tables = open_tables(root)
    try:
        yield tables
    finally:
        tables.operations.close()


def open_tables(root: Path) -> Tables:
    home = home_at(root)
    root.mkdir(parents=True, exist_ok=True)
    operations = Operations(home.operations_url)
    operations.migrate()
    return Tables(lakehouse=Lakehouse(root=home.lake), operations=operations, online_place="")
