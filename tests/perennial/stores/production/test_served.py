"""Served: a monitoring partition shows the rows, requests and outcomes of its own time, or says that it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from perennial.declaration import Pipeline
from perennial.stores.lake.tables import Outcome, Tables
from perennial.stores.operations import Outcome as Said
from perennial.stores.production.inference_log import TABLE, take_in
from perennial.stores.production.segments import Record, SegmentWriter
from perennial.stores.production.served import Served
from pipelines.delivery_eta import delivery_eta
from tests.lake import AT, DAYS, copied_tables, fill, filled_home

DAY = DAYS[1]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled_home(tmp_path_factory.mktemp("filled") / "home", delivery_eta)


@pytest.fixture
def tables(filled: Path, tmp_path: Path) -> Iterator[Tables]:
    with copied_tables(filled, tmp_path / "home") as tables:
        yield tables


def served(tables: Tables, every: Any = "1d", **changes: Any) -> Served:
    pipeline = replace(delivery_eta, monitoring=replace(delivery_eta.monitoring, every=every), **changes)
    return Served(tables=tables, pipeline=pipeline)


def carried(pipeline: Pipeline) -> list[str]:
    """The request columns that the app knows; the aggregates are looked up."""
    return [name for name in pipeline.request_columns if name in pipeline.schema.columns]


def answer(tables: Tables, pipeline: Pipeline, count: int, *, key: bool) -> list[str]:
    """Log an answer to each of the first orders of DAY, and take the log in; return the orders."""
    orders = tables.read(pipeline, "accepted", [DAY]).head(count)
    fields = orders.select(*carried(pipeline), *(pipeline.key if key else ()))
    writer = SegmentWriter(Path(tables.lakehouse.root).parent / "inference")
    writer.append(
        [
            Record(
                id=f"id-{number}",
                at=AT + timedelta(seconds=number),
                event_time=orders["event_time"][number],
                pipeline=pipeline.name,
                version=1,
                bundle="b" * 64,
                partition=DAY,
                prediction=30.0,
                latency_ms=0.5,
                instance={n: v.isoformat() if n == "ordered_at" else v for n, v in row.items()},
                features={},
            )
            for number, row in enumerate(fields.iter_rows(named=True))
        ]
    )
    writer.close()
    take_in(writer.folder, tables.lakehouse.path(pipeline.table(TABLE)))
    return orders["order_id"].to_list()


@pytest.mark.parametrize("every", ["1h", "1d"])
def test_each_accepted_row_is_seen_in_the_partition_of_its_own_time(tables: Tables, every: Any) -> None:
    watched = served(tables, every)
    clock = watched.pipeline.monitoring_time
    rows = tables.read(delivery_eta, "accepted", [DAY])

    keys = clock.overlapping(delivery_eta.time.window(DAY))
    parts = {key: watched.accepted(key) for key in keys}

    assert sum(part.height for part in parts.values() if part is not None) == rows.height
    for key, part in parts.items():
        assert part is not None
        assert {clock.key_of(at) for at in part["event_time"]} <= {key}


def test_a_partition_whose_rows_are_not_all_there_is_not_looked_at(tables: Tables) -> None:
    assert served(tables).accepted("2024-01-06") is None
    assert served(tables, "1mo").accepted("2024-01") is None
    assert served(tables, "1mo").inputs("2024-01") == {}

    tables.block(delivery_eta, "accepted", DAY, Outcome(blocked="spoiled"), at=AT)

    assert served(tables).accepted(DAY) is None
    assert served(tables).accepted(DAYS[2]) is not None


def test_a_month_is_made_of_its_days(tables: Tables) -> None:
    windows = replace(delivery_eta.windows, train=3, validation=1, test=1)
    short = served(tables, "1mo", time=replace(delivery_eta.time, end=DAYS[-1]), windows=windows)
    fill(tables, short.pipeline)

    month = short.accepted("2024-01")

    assert month is not None
    assert month.height == sum(tables.records(delivery_eta, "accepted")[day].rows for day in DAYS)
    assert list(short.inputs("2024-01")) == [f"accepted/{day}" for day in DAYS]


def test_an_answer_meets_its_outcome_by_id_else_by_key(tables: Tables) -> None:
    watched = served(tables)
    orders = answer(tables, delivery_eta, 10, key=True)
    tables.operations.add_feedback("delivery_eta", [Said(prediction_id="id-3", partition=DAY, label=77.0)], at=AT)

    truth = watched.ground_truth([DAY])

    labels = dict(tables.read(delivery_eta, "labels", [DAY]).select("order_id", "label").rows())
    assert truth["id"].to_list() == [f"id-{number}" for number in range(10)]
    assert truth["label"].to_list() == [77.0 if n == 3 else labels[order] for n, order in enumerate(orders)]
    assert truth["source"].to_list() == ["feedback" if n == 3 else "labels" for n in range(10)]


def test_an_outcome_of_too_little_confidence_judges_nobody_whatever_was_said_before(tables: Tables) -> None:
    choosy = replace(delivery_eta.label, min_confidence=0.5)
    orders = answer(tables, delivery_eta, 4, key=True)
    labels, record = tables.read(delivery_eta, "labels", [DAY]), tables.records(delivery_eta, "labels")[DAY]
    doubted = labels.with_columns(confidence=pl.when(pl.col("order_id") == orders[1]).then(0.4).otherwise(0.5))
    tables.save(delivery_eta, "labels", doubted, {DAY: Outcome(inputs=record.inputs)}, at=AT)
    for number, confidence in ((2, 1.0), (2, 0.4), (3, 0.9)):
        said = Said(prediction_id=f"id-{number}", partition=DAY, label=77.0, source="guest", confidence=confidence)
        tables.operations.add_feedback("delivery_eta", [said], at=AT)

    truth = served(tables, label=choosy).ground_truth([DAY])

    known = dict(labels.select("order_id", "label").rows())
    assert truth["label"].to_list() == [known[orders[0]], None, known[orders[2]], 77.0]
    assert truth.select("source", "said_by", "confidence").rows() == [
        ("labels", "rows", 0.5),
        (None, None, None),
        ("labels", "rows", 0.5),
        ("feedback", "guest", 0.9),
    ]


def test_an_answer_without_key_waits_for_its_feedback(tables: Tables) -> None:
    answer(tables, delivery_eta, 4, key=False)

    truth = served(tables).ground_truth([DAY])

    assert truth["label"].null_count() == 4
    assert served(tables).ground_truth([DAYS[0]]).is_empty()


def test_what_was_asked_comes_back_in_the_declared_types(tables: Tables) -> None:
    answer(tables, delivery_eta, 3, key=True)

    asked = served(tables).answered([DAY])

    rows = tables.read(delivery_eta, "accepted", [DAY]).head(3)
    columns = carried(delivery_eta)
    assert asked.select(columns).equals(rows.select(columns))


def test_nothing_was_asked_before_the_first_answer(tables: Tables) -> None:
    assert served(tables).answered([DAY]).is_empty()
    assert served(tables).ground_truth([DAY]).is_empty()
