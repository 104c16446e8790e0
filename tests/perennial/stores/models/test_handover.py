"""Handover: a step that is handed what was made from something else refuses."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from perennial.errors import PartitionBlocked
from perennial.stores.lake.lakehouse import Lakehouse
from perennial.stores.lake.tables import Outcome, Tables
from perennial.stores.models.artifacts import Artifacts
from perennial.stores.models.handover import Handover
from perennial.stores.operations import Operations
from pipelines.discovery import discover

AT = datetime(2024, 3, 1, tzinfo=UTC)
AS_OF = "2024-02-29"


@pytest.fixture
def handover(tmp_path: Path) -> Handover:
    operations = Operations(f"sqlite:///{tmp_path / 'operations.db'}")
    operations.migrate()
    tables = Tables(lakehouse=Lakehouse(root=str(tmp_path / "lake")), operations=operations, online_place="")
    made = Handover(
        tables=tables,
        artifacts=Artifacts(tmp_path / "artifacts"),
        pipeline=discover().named("delivery_eta"),
        as_of=AS_OF,
    )
    save_training_set(made, rows=3)
    return made


def save_training_set(handover: Handover, *, rows: int) -> None:
    frame = pl.DataFrame({"partition": [AS_OF] * rows, "label": [float(row) for row in range(rows)]})
    handover.tables.save(handover.pipeline, "training_set", frame, {AS_OF: Outcome()}, at=AT)


def test_hands_over_what_was_made_from_the_training_set_as_it_stands(handover: Handover) -> None:
    handover.give("median", {"model.onnx": b"graph"})

    assert handover.take("median") == {"model.onnx": b"graph"}


def test_refuses_what_was_made_from_another_training_set(handover: Handover) -> None:
    handover.give("median", {"model.onnx": b"graph"})
    save_training_set(handover, rows=4)

    with pytest.raises(PartitionBlocked, match="median is out of date: it was made from another training set"):
        handover.take("median")


def test_refuses_an_evaluation_of_another_bundle(handover: Handover) -> None:
    handover.give("evaluation", {"comparison.json": b"{}"}, bundle="a" * 64)

    assert handover.take("evaluation", bundle="a" * 64) == {"comparison.json": b"{}"}
    with pytest.raises(PartitionBlocked, match="evaluation is out of date: it was made from another bundle"):
        handover.take("evaluation", bundle="b" * 64)


def test_refuses_before_there_is_a_training_set(handover: Handover) -> None:
    early = Handover(
        tables=handover.tables, artifacts=handover.artifacts, pipeline=handover.pipeline, as_of="2024-03-01"
    )

    with pytest.raises(PartitionBlocked, match="training_set is missing"):
        early.give("median", {})


def test_refuses_a_training_set_that_did_not_pass_its_check(handover: Handover) -> None:
    handover.give("median", {"model.onnx": b"graph"})
    frame = pl.DataFrame({"partition": [AS_OF], "label": [1.0]})
    handover.tables.save(
        handover.pipeline, "training_set", frame, {AS_OF: Outcome(blocked="feature 'tip' leaks")}, at=AT
    )

    with pytest.raises(PartitionBlocked, match="training_set is blocked: feature 'tip' leaks, found blocked"):
        handover.take("median")
