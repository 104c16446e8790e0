"""Answered: the partitions of an inference log as the lake has taken it in, with the outcomes that were reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from perennial.bundle.bundle import RequestSchema
from perennial.content import content_hash
from perennial.errors import BundleError, SourceError, SourceUnreachable
from perennial.ingestion.answered import ASKED_AT, PERSONAL, TOLD, named, not_personal
from perennial.ingestion.landing import Arrival
from perennial.ingestion.partitioned import Partitioned
from perennial.settings import Home
from perennial.sources import InferenceLog
from perennial.stores.lake.lakehouse import Lakehouse
from perennial.stores.models.bundles import BundleStore
from perennial.stores.production.inference_log import TABLE, decode_instances, table_exists
from perennial.time import Window

if TYPE_CHECKING:
    from perennial.stores.operations import Operations

KEY = "key"
LOGGED = {
    "prediction_id": "id",
    ASKED_AT: "at",
    "predicted": "prediction",
    "model_version": "version",
    **{name: name for name in ("partition", "bundle", "instance")},
}
"""What is read of the log's table, by the names of a source's row; the last three only to make it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredReader:
    """Reads the inference log of one pipeline, cut by when it was asked."""

    source: InferenceLog
    home: Home

    def read(self, pipeline: Partitioned, partition: str, *, fetched_at: datetime) -> Arrival:
        """What was asked in the partition, as far as the lake has it, each row known since its outcome, if it has one.

        Raises SourceError, and then nothing has been read.
        """
        where = f"{pipeline.name} {partition}"
        signature = self._signatures(pipeline, [partition], where=where).get(partition)  # first: the rows may be newer
        log = self._log(pipeline.time.window(partition), where=where).collect().sort(ASKED_AT, "prediction_id")
        if signature is None or log.is_empty():
            raise SourceError(
                "the log has no answers of the partition",
                where=where,
                found=f"none in {self._table}",
                expected=f"predictions of {self.source.of} that were asked for in it",
            )
        told = self._with_outcomes(log)
        try:
            rows = self._rows(told, pipeline, where=where)
        except SourceError as error:
            error.signature = signature
            raise
        return Arrival(
            partition=partition,
            rows=rows,
            uri=self._table if "://" in self._table else Path(self._table).as_uri(),
            sha256=content_hash(rows),
            size=int(rows.estimated_size()),
            signature=signature,
            fetched_at=fetched_at,
            received=told.select(pl.max_horizontal(ASKED_AT, "outcome_at")).to_series(),
        )

    def signatures(self, pipeline: Partitioned, partitions: list[str]) -> dict[str, str]:
        """What changes with every answer and every outcome, of each of `partitions` in which anything was asked."""
        return self._signatures(pipeline, partitions, where=pipeline.name) if partitions else {}

    def _signatures(self, pipeline: Partitioned, partitions: list[str], *, where: str) -> dict[str, str]:
        """How many answers, the last, and the last outcome: answers and outcomes are only ever added.

        Of the log it reads ids and times, in batches, and holds but the ids of what has an outcome.
        """
        calendar = pipeline.time
        span = Window(start=calendar.window(min(partitions)).start, end=calendar.window(max(partitions)).end)
        key = pl.col(ASKED_AT).dt.convert_time_zone(str(calendar.zone)).dt.strftime(calendar.key_format)
        log = self._log(span, where=where)
        asked = log.group_by(key.alias(KEY), "partition").agg(count=pl.len(), last=pl.col(ASKED_AT).max())
        answers = asked.collect(engine="streaming").filter(pl.col(KEY).is_in(partitions))
        numbers = self._operations(lambda known: known.feedback_numbers(self.source.of, _partitions(answers)))
        told = log.select(ASKED_AT, "prediction_id").join(numbers.lazy(), on="prediction_id")
        outcomes = told.group_by(key.alias(KEY)).agg(outcome=pl.col("number").max()).collect(engine="streaming")
        found = (
            answers.group_by(KEY).agg(pl.col("count").sum(), pl.col("last").max()).join(outcomes, on=KEY, how="left")
        )
        return {str(row[KEY]): content_hash(pl.DataFrame([row]))[:32] for row in found.iter_rows(named=True)}

    @property
    def _table(self) -> str:
        return Lakehouse(root=self.home.lake).path(f"{self.source.of}/{TABLE}")

    def _log(self, span: Window, *, where: str) -> pl.LazyFrame:
        """The records of `span`, by their names as a source. Raises SourceUnreachable while there is no log."""
        if not table_exists(self._table):
            raise SourceUnreachable(
                "there is no inference log yet",
                where=where,
                found=f"no table {self._table}",
                expected=f"answers of the server for {self.source.of}, taken into the lake",
                hint=f"materialize {self.source.of}/{TABLE}, or let the sensor {self.source.of}_monitoring do it",
            )
        asked = pl.col("at") >= span.start, pl.col("at") < span.end
        return (
            pl.scan_delta(self._table)
            .filter(*asked)
            .select(pl.col(theirs).alias(ours) for ours, theirs in LOGGED.items())
        )

    def _with_outcomes(self, log: pl.DataFrame) -> pl.DataFrame:
        """`log` with the newest outcome that was reported for each prediction."""
        said = self._operations(lambda known: known.feedback(self.source.of, _partitions(log)))
        outcomes = said.select(
            "prediction_id",
            outcome="label",
            outcome_at="received_at",
            outcome_source="source",
            outcome_confidence="confidence",
        )
        return log.join(outcomes, on="prediction_id", how="left", maintain_order="left")

    def _operations(self, ask: Callable[[Operations], pl.DataFrame]) -> pl.DataFrame:
        """What the operations database answers."""
        from perennial.stores.operations import Operations

        with closing(Operations(self.home.operations_url)) as operations:
            return ask(operations)

    def _rows(self, told: pl.DataFrame, pipeline: Partitioned, *, where: str) -> pl.DataFrame:
        """The rows as a source gives them, in order: what each version was asked by the schema of its bundle."""
        parts = []
        for (sha256,), part in told.partition_by("bundle", as_dict=True, maintain_order=True).items():
            schema = self._schema(str(sha256), where=where)
            _check_personal(schema, pipeline, where=where)
            parts.append(part.select(*TOLD).hstack(_requests(part, schema, pipeline)))
        self._check_types(parts, where=where)
        return pl.concat(parts, how="diagonal_relaxed").sort(ASKED_AT, "prediction_id")

    def _check_types(self, parts: Sequence[pl.DataFrame], *, where: str) -> None:
        """What one version was told as a text and another as a number has no one column."""
        for name in {name: None for part in parts for name in part.columns}:
            types = {part.schema[name] for part in parts if name in part.columns}
            if len(types) > 1 and not all(dtype.is_numeric() for dtype in types):
                raise SourceError(
                    f"versions were asked for field {name!r} in several types",
                    where=where,
                    found=", ".join(sorted(map(str, types))),
                    expected="one type",
                    hint=f"begin after the change: {self.source.of} was declared otherwise before",
                )

    def _schema(self, sha256: str, *, where: str) -> RequestSchema:
        try:
            return BundleStore(self.home.bundles).get(sha256).schema
        except BundleError as error:
            raise SourceError(
                "a bundle that answered cannot be opened", where=where, found=str(error), expected="what it was asked"
            ) from error


def _requests(part: pl.DataFrame, schema: RequestSchema, pipeline: Partitioned) -> pl.DataFrame:
    """The fields of the requests; their times are instants where the reader's clock is another."""
    rows = decode_instances(part["instance"], schema.fields)
    if schema.timezone != pipeline.time.timezone:
        rows = rows.with_columns(
            schema.clock.utc(name) for name, dtype in rows.schema.items() if dtype == pl.Datetime("us")
        )
    return rows.rename({name: named(name) for name in rows.columns})


def _check_personal(schema: RequestSchema, pipeline: Partitioned, *, where: str) -> None:
    """Nobody reads what was personal where it was asked for as if it were not."""
    personal = [field.name for field in schema.fields if field.pii]
    for name in not_personal(pipeline.schema.columns, personal):
        raise SourceError(f"column {name!r} is declared as no personal data", where=where, expected=PERSONAL)


def _partitions(log: pl.DataFrame) -> list[str]:
    """The monitoring partitions in `log`."""
    return log.get_column("partition").unique().to_list()
