"""Leakage: samples a training set and reads again what was first known of the same rows, for the auditor."""

from __future__ import annotations

import polars as pl

from perennial.declaration import Pipeline
from perennial.featurization.expressions import Feature, columns_of, featurize
from perennial.featurization.leakage import LeakageReport, audit
from perennial.labels.labelling import trusted
from perennial.stores.lake.tables import Tables
from perennial.stores.lake.windows import Collected

FIRST = "first known: "


def audit_training_set(tables: Tables, pipeline: Pipeline, collected: Collected) -> LeakageReport:
    """The auditor's report on the rows of `collected`: on a sample of those in their partition's first delivery.

    Features of the row alone are computed again from that delivery; one that reads an aggregate is judged by
    its power.
    """
    on = [*pipeline.key, "partition"]
    recomputed = _of_the_row(pipeline)
    raw = columns_of(recomputed)
    first = _first_deliveries(tables, pipeline, collected)
    deliveries = tables.read(pipeline, "accepted", first, list(dict.fromkeys([*on, *raw]))).unique(on, keep="first")
    labels = tables.read(pipeline, "labels", collected.revisions, [*on, "known_at", "confidence"])
    known = trusted(labels, pipeline.label).select(*on, "known_at").unique(on, keep="first")

    rows = collected.training_set.frame
    sampled = (
        rows.sample(min(pipeline.leakage.rows, rows.height), seed=pipeline.seed)
        .join(known.rename({"known_at": "label_known_at"}), on=on, how="left")
        .join(deliveries.select(*on, *(pl.col(name).alias(FIRST + name) for name in raw)), on=on, how="inner")
        .sort("event_time", *on)
    )
    then = sampled.select(pl.col(FIRST + name).alias(name) for name in raw)
    return audit(
        pipeline,
        sampled,
        first=featurize(then, recomputed),
        deliveries=sum(revision != first[key] for key, revision in collected.revisions.items()),
    )


def _of_the_row(pipeline: Pipeline) -> list[Feature]:
    declared = set(pipeline.schema.names)
    return [feature for feature in pipeline.checked_features if set(columns_of([feature])) <= declared]


def _first_deliveries(tables: Tables, pipeline: Pipeline, collected: Collected) -> dict[str, int]:
    """Of each partition of the window the first revision whose rows were accepted."""
    history = tables.history(pipeline, "accepted")
    return {
        key: min((n for n, record in history[key].items() if record.status == "ok"), default=revision)
        for key, revision in collected.revisions.items()
    }
