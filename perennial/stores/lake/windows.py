"""Windows: collects from the lake the rows that one training may use, or says why it may not."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from perennial.bundle.parity import golden_rows
from perennial.declaration import Pipeline
from perennial.errors import PartitionBlocked
from perennial.graph.records import PartitionRecord
from perennial.graph.stages import LEARNED_FROM
from perennial.labels.labelling import trusted
from perennial.labels.maturity import newest_mature, within_reach
from perennial.monitoring.drift import reference_sample
from perennial.stores.lake.summaries import refuse_unfit
from perennial.stores.lake.tables import Tables
from perennial.training.training_set import SplitKeys, TrainingSet, build_training_set, last_known, split_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """A training set, with what it was made from."""

    keys: SplitKeys
    as_of: datetime
    training_set: TrainingSet
    table: pl.DataFrame
    """As stored in the lake: `partition` is the as-of, `source_partition` the rows' own."""
    revisions: Mapping[str, int]
    """Of each partition of the window the revision that was known by the as-of instant."""
    inputs: Mapping[str, str]
    manifest: Mapping[str, Any]


def collect_training_set(tables: Tables, pipeline: Pipeline, as_of: str, *, mature: bool = True) -> Collected:
    """The training set as of partition `as_of`: its window ends with the newest partition of mature labels.

    Not `mature` gives the naive set, whose window ends with `as_of` itself, for comparison. Raises
    HistoryTooShort, NoMatureLabels, or PartitionBlocked when a partition of the window is missing,
    blocked, or not made from the rows that are accepted now.
    """
    keys = window_keys(tables, pipeline, as_of) if mature else split_keys(pipeline, as_of)
    instant = pipeline.time.known_at(as_of)
    with ExitStack() as stack:  # what is recorded is what is read: nobody writes between the two
        for name in ("features", "labels"):
            stack.enter_context(tables.operations.holding(pipeline.table(name)))
        records = _checked_records(tables, pipeline, keys, instant)
        revisions = {key: record.revision for key, record in records["features"].items()}
        refuse_unfit(tables, pipeline, revisions)
        features, labels = (tables.read(pipeline, name, revisions) for name in ("features", "labels"))
    training_set = build_training_set(pipeline, features=features, labels=labels, keys=keys, as_of=instant)
    versions = {name: max(record.table_version or 0 for record in by_key.values()) for name, by_key in records.items()}
    return Collected(
        keys=keys,
        as_of=instant,
        training_set=training_set,
        table=training_set.frame.rename({"partition": "source_partition"}).with_columns(partition=pl.lit(as_of)),
        revisions=revisions,
        inputs={f"{name}/{key}": r.content_hash for name, by_key in records.items() for key, r in by_key.items()},
        manifest={
            "as_of": instant.isoformat(),
            "content_hash": training_set.content_hash,
            "rows": training_set.frame.height,
            "fitted_rows": training_set.rows("train", "validation").height,
            "table_versions": versions,
            "revisions": revisions,
            "windows": {"train": keys.train, "validation": keys.validation, "test": keys.test},
        },
    )


def window_keys(tables: Tables, pipeline: Pipeline, as_of: str) -> SplitKeys:
    """The partitions that a training as of `as_of` uses. Raises HistoryTooShort or NoMatureLabels."""
    return split_keys(pipeline, as_of, end=newest_mature(pipeline, as_of, known_shares(tables, pipeline, as_of)))


def known_shares(tables: Tables, pipeline: Pipeline, as_of: str) -> dict[str, float]:
    """The share of accepted rows whose outcome was known by the as-of instant, of each partition in reach of it.

    An outcome of too little confidence to learn from is not known yet.
    """
    if pipeline.label.mature_after is None:
        return {}
    instant = pipeline.time.known_at(as_of)
    accepted, known = (tables.known(pipeline, name, instant) for name in ("accepted", "labels"))
    there = [key for key in within_reach(pipeline, as_of) if key in known and key in accepted and accepted[key].rows]
    keys = {key: known[key].revision for key in there}
    if not keys:
        return {}
    labels = tables.read(pipeline, "labels", keys, ["partition", "known_at", "confidence"])
    told = trusted(labels, pipeline.label).filter(pl.col("known_at") <= instant)
    counts = dict(told.group_by("partition").len().iter_rows())
    return {key: counts.get(key, 0) / accepted[key].rows for key in keys}


def held_out_rows(tables: Tables, pipeline: Pipeline, collected: Collected) -> dict[str, pl.DataFrame]:
    """Raw rows that later steps need: the sealed test, a sample of the fitted rows, and golden rows."""
    on = [*pipeline.key, "partition"]
    # Aggregates are taken as the training set holds them: equal to what was known when each row happened.
    rolling = [aggregate.name for aggregate in pipeline.checked_aggregates]
    labels = collected.training_set.frame.select(*on, "label", *rolling)

    def raw(partitions: tuple[str, ...]) -> pl.DataFrame:
        revisions = {key: collected.revisions[key] for key in partitions}
        known = last_known(tables.read(pipeline, "accepted", revisions), on, collected.as_of)
        rows = known.unique(on, keep="first", maintain_order=True)
        return rows.join(labels, on=on, how="inner", maintain_order="left")

    fitted = raw(collected.keys.fitted)
    return {
        "test.parquet": raw(collected.keys.test),
        "sample.parquet": reference_sample(fitted.select(*pipeline.request_columns, "label"), seed=pipeline.seed),
        "golden.parquet": golden_rows(
            fitted.select(pipeline.request_columns),
            pipeline.joined_schema,
            features=pipeline.checked_features,
            seed=pipeline.seed,
            rows=pipeline.gates.parity.min_rows,
        ),
    }


def _checked_records(
    tables: Tables, pipeline: Pipeline, keys: SplitKeys, as_of: datetime
) -> dict[str, dict[str, PartitionRecord]]:
    """The manifest of the window as it was known at `as_of`, once every partition of it passed and is up to date."""
    standing = tables.standing(pipeline)
    for key in keys.all:
        for name in LEARNED_FROM:
            problem = standing.problem_with(name, key, standing.known(key, as_of))
            if problem:
                raise PartitionBlocked(
                    problem,
                    where=f"{pipeline.name} {key}",
                    expected=f"every partition from {keys.all[0]} to {keys.all[-1]}",
                    hint=f"perennial backfill {pipeline.name} {key} {key}",
                )
    known = {name: tables.known(pipeline, name, as_of) for name in ("features", "labels")}
    return {name: {key: records[key] for key in keys.all} for name, records in known.items()}
