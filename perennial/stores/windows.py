"""Windows: collects from the lake the rows that one training may use, or says why it may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from perennial.bundle.parity import golden_rows
from perennial.declaration import Pipeline
from perennial.errors import PartitionBlocked
from perennial.graph.lineage import problem_with
from perennial.monitoring.drift import reference_sample
from perennial.stores.operations import PartitionRecord
from perennial.stores.tables import Tables
from perennial.training.training_set import SplitKeys, TrainingSet, build_training_set, split_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """A training set, with what it was made from."""

    keys: SplitKeys
    as_of: datetime
    training_set: TrainingSet
    table: pl.DataFrame
    """As stored in the lake: `partition` is the as-of, `source_partition` the rows' own."""
    inputs: Mapping[str, str]
    manifest: Mapping[str, Any]


def collect_training_set(tables: Tables, pipeline: Pipeline, as_of: str) -> Collected:
    """The training set that ends with partition `as_of`.

    Raises HistoryTooShort, NoMatureLabels, or PartitionBlocked when a partition of the window is
    missing, blocked, or not made from the rows that are accepted now.
    """
    keys = split_keys(pipeline, as_of)
    records = _checked_records(tables, pipeline, keys)
    instant = pipeline.time.known_at(as_of)
    training_set = build_training_set(
        pipeline,
        features=tables.read(pipeline, "features", keys.all),
        labels=tables.read(pipeline, "labels", keys.all),
        keys=keys,
        as_of=instant,
    )
    versions = {name: max(record.table_version or 0 for record in by_key.values()) for name, by_key in records.items()}
    return Collected(
        keys=keys,
        as_of=instant,
        training_set=training_set,
        table=training_set.frame.rename({"partition": "source_partition"}).with_columns(partition=pl.lit(as_of)),
        inputs={f"{name}/{key}": r.content_hash for name, by_key in records.items() for key, r in by_key.items()},
        manifest={
            "as_of": instant.isoformat(),
            "content_hash": training_set.content_hash,
            "rows": training_set.frame.height,
            "fitted_rows": training_set.rows("train", "validation").height,
            "table_versions": versions,
            "windows": {"train": keys.train, "validation": keys.validation, "test": keys.test},
        },
    )


def held_out_rows(tables: Tables, pipeline: Pipeline, collected: Collected) -> dict[str, pl.DataFrame]:
    """Raw rows that later steps need: the sealed test, a sample of the fitted rows, and golden rows."""
    on = [*pipeline.key, "partition"]
    labels = collected.training_set.frame.select(*on, "label")

    def raw(partitions: tuple[str, ...]) -> pl.DataFrame:
        rows = tables.read(pipeline, "accepted", partitions).unique(on, keep="first", maintain_order=True)
        return rows.join(labels, on=on, how="inner", maintain_order="left")

    fitted = raw(collected.keys.fitted)
    return {
        "test.parquet": raw(collected.keys.test),
        "sample.parquet": reference_sample(fitted.select(*pipeline.request_columns, "label"), seed=pipeline.seed),
        "golden.parquet": golden_rows(
            fitted.select(pipeline.request_columns),
            pipeline.schema,
            features=pipeline.checked_features,
            seed=pipeline.seed,
            rows=pipeline.gates.parity.min_rows,
        ),
    }


def _checked_records(tables: Tables, pipeline: Pipeline, keys: SplitKeys) -> dict[str, dict[str, PartitionRecord]]:
    """The manifest of the window, once every partition of it is there, passed, and up to date."""
    records = {name: tables.records(pipeline, name) for name in ("landed", "accepted", "features", "labels")}
    for name in ("features", "labels"):
        for key in keys.all:
            problem = problem_with(pipeline, name, key, records)
            if problem:
                raise PartitionBlocked(
                    problem,
                    where=f"{pipeline.name} {key}",
                    expected=f"every partition from {keys.all[0]} to {keys.all[-1]}",
                    hint=f"perennial backfill {pipeline.name} {key} {key}",
                )
    return {name: {key: records[name][key] for key in keys.all} for name in ("features", "labels")}
