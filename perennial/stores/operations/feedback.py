"""Feedback: the outcomes that clients report for predictions, by prediction id."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import sqlalchemy as sa

from perennial.stores.operations import tables
from perennial.stores.operations.database import Database

COLUMNS = {
    "prediction_id": pl.String(),
    "partition": pl.String(),
    "label": pl.Float64(),
    "source": pl.String(),
    "confidence": pl.Float64(),
    "received_at": pl.Datetime("us", "UTC"),
}
_BATCH = 5_000
"""Values in one query; SQLite takes at most 32,766."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened after one prediction."""

    prediction_id: str
    partition: str
    """Monitoring partition of the prediction, as its id says."""
    label: float
    source: str = "client"
    """Who or what says so."""
    confidence: float = 1.0
    """How sure the source is, 0 to 1."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.label):
            raise ValueError(f"{self.prediction_id}: found the label {self.label}, expected a finite number")
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"{self.prediction_id}: found the confidence {self.confidence}, expected 0 to 1")

    @property
    def said(self) -> tuple[float, str, float]:
        """What makes it news beside an earlier one of the same prediction."""
        return self.label, self.source, self.confidence


class Feedback(Database):
    """Every outcome that was sent; of several for one prediction the newest counts, and all are kept."""

    def add_feedback(self, pipeline: str, outcomes: Sequence[Outcome], *, at: datetime) -> int:
        """Keep all of `outcomes` or none; how many said something new. Sending them again adds nothing."""
        table = tables.feedback
        with self.writing(pipeline) as transaction:
            known = _newest(transaction, pipeline, {outcome.prediction_id for outcome in outcomes})
            rows = []
            for outcome in outcomes:
                if known.get(outcome.prediction_id) != outcome.said:
                    known[outcome.prediction_id] = outcome.said
                    rows.append(
                        {
                            "pipeline": pipeline,
                            "prediction_id": outcome.prediction_id,
                            "partition": outcome.partition,
                            "label": outcome.label,
                            "source": outcome.source,
                            "confidence": outcome.confidence,
                            "received_at": at,
                        }
                    )
            if rows:
                transaction.execute(sa.insert(table), rows)
            return len(rows)

    def feedback(self, pipeline: str, partitions: Sequence[str]) -> pl.DataFrame:
        """The newest outcome of each prediction of `partitions`, in order of arrival."""
        table = tables.feedback
        rows: list[tuple[object, ...]] = []
        with self.reading() as transaction:
            for some in _batches(sorted(set(partitions))):
                newest = (
                    sa.select(sa.func.max(table.c.id))
                    .where(table.c.pipeline == pipeline, table.c.partition.in_(some))
                    .group_by(table.c.prediction_id)
                )
                query = sa.select(table.c.id, *(table.c[name] for name in COLUMNS)).where(table.c.id.in_(newest))
                rows += [tuple(row) for row in transaction.execute(query)]
        ordered = [row[1:] for row in sorted(rows, key=lambda row: int(str(row[0])))]
        return pl.DataFrame(ordered, schema=COLUMNS, orient="row")

    def feedback_numbers(self, pipeline: str, partitions: Sequence[str]) -> pl.DataFrame:
        """Of each prediction of `partitions` with an outcome, the `number` of its newest: a later one has a higher."""
        table = tables.feedback
        rows: list[tuple[object, ...]] = []
        with self.reading() as transaction:
            for some in _batches(sorted(set(partitions))):
                query = (
                    sa.select(table.c.prediction_id, sa.func.max(table.c.id))
                    .where(table.c.pipeline == pipeline, table.c.partition.in_(some))
                    .group_by(table.c.prediction_id)
                )
                rows += [tuple(row) for row in transaction.execute(query)]
        return pl.DataFrame(rows, schema={"prediction_id": pl.String(), "number": pl.Int64()}, orient="row")

    def feedback_since(self, pipeline: str, cursor: int) -> tuple[int, list[str]]:
        """The partitions with outcomes after `cursor`, and the cursor to ask with next; the first is 0."""
        table = tables.feedback
        query = sa.select(table.c.partition, sa.func.max(table.c.id)).where(
            table.c.pipeline == pipeline, table.c.id > cursor
        )
        with self.reading() as transaction:
            found = {row[0]: int(row[1]) for row in transaction.execute(query.group_by(table.c.partition))}
        return max([cursor, *found.values()]), sorted(found)


def _newest(transaction: sa.Connection, pipeline: str, ids: Iterable[str]) -> dict[str, tuple[float, str, float]]:
    """What was said last of each prediction."""
    table = tables.feedback
    columns = (table.c.prediction_id, table.c.label, table.c.source, table.c.confidence)
    found: dict[str, tuple[float, str, float]] = {}
    for some in _batches(sorted(ids)):
        query = sa.select(*columns).where(table.c.pipeline == pipeline, table.c.prediction_id.in_(some))
        for row in transaction.execute(query.order_by(table.c.id)):
            found[row.prediction_id] = (row.label, row.source, row.confidence)
    return found


def _batches(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + _BATCH] for start in range(0, len(values), _BATCH))
