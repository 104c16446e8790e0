"""Served: what was asked and answered in a monitoring partition, and what is known of the outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from perennial.bundle.bundle import RequestSchema
from perennial.bundle.manifest import describe_requests
from perennial.declaration import Pipeline
from perennial.labels.labelling import trusted
from perennial.monitoring.performance import OUTCOME, match_outcomes
from perennial.stores.lake.tables import Tables
from perennial.stores.production.inference_log import TABLE, read_inference_log
from perennial.time import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Reads a pipeline's production, monitoring partition by monitoring partition."""

    tables: Tables
    pipeline: Pipeline

    def answered(self, partitions: Sequence[str]) -> pl.DataFrame:
        """The logged records of `partitions`, their request fields as typed columns."""
        schema = RequestSchema.from_json(describe_requests(self.pipeline))
        path = self.tables.lakehouse.path(self.pipeline.table(TABLE))
        return read_inference_log(path, partitions, schema)

    def ground_truth(self, partitions: Sequence[str]) -> pl.DataFrame:
        """Every answered prediction of `partitions` with its outcome, null while that is unknown.

        An outcome of too little confidence is not known, whatever was said before it.
        """
        feedback = self.tables.operations.feedback(self.pipeline.name, partitions)
        sure = [trusted(told, self.pipeline.label) for told in (feedback, self._labels(partitions))]
        truth = match_outcomes(self.answered(partitions), *sure, key=self.pipeline.key)
        kept = ["id", "partition", "event_time", "version", "prediction", "label", "source", "said_by", "confidence"]
        return truth.select(kept)

    def accepted(self, partition: str) -> pl.DataFrame | None:
        """The accepted rows whose event lies in monitoring partition `partition`; None while some are not there."""
        window = self.pipeline.monitoring_time.window(partition)
        keys = self._data_keys(window)
        if not keys:
            return None
        rows = self.tables.read(self.pipeline, "accepted", keys)
        return rows.filter(pl.col("event_time") >= window.start, pl.col("event_time") < window.end)

    def inputs(self, partition: str) -> dict[str, str]:
        """The content of the accepted partitions that monitoring partition `partition` looks at."""
        window = self.pipeline.monitoring_time.window(partition)
        records = self.tables.records(self.pipeline, "accepted")
        return {f"accepted/{key}": records[key].content_hash for key in self._data_keys(window)}

    def _data_keys(self, window: Window) -> list[str]:
        """The data partitions that share time with `window`, if each is there and passed; else none."""
        keys = self.pipeline.time.overlapping(window)
        standing = self.tables.standing(self.pipeline)
        return [] if any(standing.problem_with("accepted", key) for key in keys) else keys

    def _labels(self, partitions: Sequence[str]) -> pl.DataFrame:
        clock = self.pipeline.monitoring_time
        known = self.tables.records(self.pipeline, "labels")
        overlapping = {key for p in partitions for key in self.pipeline.time.overlapping(clock.window(p))}
        keys = sorted(key for key in overlapping if key in known and known[key].status == "ok")
        if not keys:
            types = {name: self.pipeline.schema.polars[name] for name in self.pipeline.key}
            return pl.DataFrame(schema={**types, **OUTCOME.to_schema()})
        return self.tables.read(self.pipeline, "labels", keys)
