"""Labels: the outcome of every accepted row that has one, who says so, and since when it could be known."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from assets.describe import instant, picture, rounded, row_counts, table
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.graph.records import PartitionRecord
from perennial.labels.labelling import by_source, columns_read, label_rows, trusted
from perennial.labels.maturity import (
    Completeness,
    DelayCurve,
    completeness,
    delay_curve,
    delays,
    early_means,
    mature_since,
    rule_of,
)
from perennial.labels.pictures import cohort_picture, delay_picture
from perennial.policies import Maturity
from perennial.stores.clock import Clock
from perennial.stores.lake.large import Large, is_large
from perennial.stores.lake.tables import Tables, derived, revisions_of

AGES = (7, 30, 90, 180, 365)
"""Days after which the share of known outcomes is shown."""
REPORTED = ("event_time", "known_at", "label", "source", "confidence")
"""Columns of labels that the report reads."""
PICTURES = 12
"""Pictures are shown for the last partitions of a range; the numbers are there for all."""


def build_labels(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the labels asset of `pipeline`."""

    @range_asset(
        pipeline,
        "labels",
        stage="labels",
        deps=["accepted"],
        description="The outcome of each accepted row, who says so and how surely, and since when one could know it.",
    )
    def labels(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "labels")
        for accepted, keys in run.work(tables, "accepted"):
            now = clock.now()
            if is_large(accepted, keys):
                late = _Lateness.of(pipeline, _in_parts(tables, pipeline, accepted[keys[0]], now=now), now=now)
                labelled = _reported(tables, pipeline, accepted[keys[0]])  # only now: each of the two fills a gigabyte
            else:
                rows = tables.read(pipeline, "accepted", revisions_of(accepted, keys), columns_read(pipeline))

                labelled = label_rows(rows, pipeline)
                late = _Lateness.of(pipeline, _waited(pipeline, rows, labelled, now=now), now=now)

                outcomes = {key: derived(pipeline, "labels", accepted[key]) for key in keys}
                tables.save(pipeline, "labels", labelled, outcomes, at=now)

            parts = labelled.partition_by("partition", as_dict=True) if len(keys) > 1 else {(keys[0],): labelled}
            pictures = late.pictures(trusted(labelled, pipeline.label))
            for key in keys:
                part = parts.get((key,), labelled.clear())
                shown = _describe(part, accepted[key].rows, pipeline)
                sure = trusted(part, pipeline.label)
                maturity = late.describe(key, sure, accepted[key].rows)
                drawn = pictures if maturity and key in run.keys[-PICTURES:] else {}
                run.written(key, row_counts(part.height) | shown | maturity | drawn)
        yield from run.finish()

    return labels


def _in_parts(tables: Tables, pipeline: Pipeline, accepted: PartitionRecord, *, now: datetime) -> pl.DataFrame | None:
    """Label a large partition part by part; how long each of its rows waited."""
    waited, of_one = list[pl.DataFrame](), _of_one(accepted)
    hashed = pl.struct(pipeline.key).hash(seed=7)

    def label(part: pl.DataFrame) -> pl.DataFrame:
        labelled = label_rows(part, pipeline)
        found = _waited(pipeline, part, labelled, now=now)
        waited.extend([] if found is None else [found.select(of_one, "event_time", "age", "known", key=hashed)])
        return labelled

    outcome = derived(pipeline, "labels", accepted)
    Large(tables=tables, pipeline=pipeline).transform(
        "labels", accepted, outcome, label, at=now, columns=columns_read(pipeline)
    )
    first = pl.col("key").is_first_distinct()  # as `delays` has it, beyond the part
    return pl.concat(waited).filter(first).drop("key") if waited else None


def _reported(tables: Tables, pipeline: Pipeline, accepted: PartitionRecord) -> pl.DataFrame:
    """What is reported of all labels of a large partition, a source as a number where its name has 16 bytes."""
    parts = tables.parts(pipeline, "labels", accepted, REPORTED)
    return pl.concat(part.with_columns(_of_one(accepted), pl.col("source").cast(pl.Categorical)) for part in parts)


def _of_one(accepted: PartitionRecord) -> pl.Expr:
    """The column `partition` of rows that are all of one: a byte a row, where the text has 16."""
    return pl.col("partition").cast(pl.Enum([accepted.partition]))


def _waited(pipeline: Pipeline, rows: pl.DataFrame, labelled: pl.DataFrame, *, now: datetime) -> pl.DataFrame | None:
    """How long each of `rows` waited for its outcome, for pipelines whose labels mature."""
    if pipeline.label.mature_after is None:
        return None
    return delays(rows, trusted(labelled, pipeline.label), key=pipeline.key, as_of=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lateness:
    """How late the outcomes of one batch came, for pipelines whose labels mature."""

    pipeline: Pipeline
    states: Mapping[str, Completeness] = field(default_factory=dict)
    curve: DelayCurve | None = None

    @classmethod
    def of(cls, pipeline: Pipeline, waited: pl.DataFrame | None, *, now: datetime) -> "_Lateness":
        if waited is None:
            return cls(pipeline=pipeline)
        curve = delay_curve(waited)
        return cls(pipeline=pipeline, states=completeness(pipeline, waited, as_of=now, curve=curve), curve=curve)

    def pictures(self, labelled: pl.DataFrame) -> dict[str, Any]:
        return {} if self.curve is None else _pictures(self.pipeline, labelled, self.curve)

    def describe(self, key: str, part: pl.DataFrame, accepted: int) -> dict[str, Any]:
        if self.curve is None or key not in self.states:
            return {}
        state = self.states[key]
        since = mature_since(self.pipeline, key, rows=accepted, known_at=part["known_at"])
        took = part["known_at"] - part["event_time"]
        return {
            "mature": state.mature,
            "mature since": instant(since) if since else "",
            "rule": rule_of(self.pipeline),
            "known now [share]": rounded(state.share),
            "expected by the delay curve [share]": rounded(state.expected or 0.0),
            "known after": table(
                {"days": days, "share": rounded(float((took < timedelta(days=days)).sum()) / max(accepted, 1))}
                for days in AGES
            ),
        }


def _pictures(pipeline: Pipeline, labelled: pl.DataFrame, curve: DelayCurve) -> dict[str, Any]:
    """How late the outcomes of these partitions came, and how those that came first differ from all."""
    rule, unit = pipeline.label.mature_after, pipeline.objective.unit
    needed = rule.completeness if isinstance(rule, Maturity) else None
    means = early_means(labelled, [timedelta(days=age) for age in AGES[:3]])
    return {
        "delay curve": picture(
            delay_picture({"outcomes": curve}, completeness=needed), "share of outcomes known by age"
        ),
        "first outcomes": picture(cohort_picture(means, unit=unit), "mean of the outcomes known first"),
    }


def _describe(part: pl.DataFrame, accepted: int, pipeline: Pipeline) -> dict[str, Any]:
    if part.is_empty():
        return {"labelled share": 0.0}
    unit, limit = pipeline.objective.unit, pipeline.label.min_confidence
    unsure = {"of too little confidence": part.height - trusted(part, pipeline.label).height} if limit else {}
    means = {"mean": f"mean [{unit}]", "confidence": "mean confidence"}
    return {
        "labelled share": rounded(part.height / max(accepted, 1)),
        f"mean [{unit}]": rounded(part["label"].mean()),  # type: ignore[arg-type]
        f"median [{unit}]": rounded(part["label"].median()),  # type: ignore[arg-type]
        "last known": instant(part["known_at"].max()),  # type: ignore[arg-type]
        "by source": table(by_source(part).rename(means).to_dicts()),
        **unsure,
    }
