"""Timelines: a pipeline with aggregates, random histories of its rows, and the slow, obvious answer to each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from perennial import Column, Daily, Files, Label, Linear, Monthly, Pipeline, Regression, Rolling, Schema, Windows, col
from perennial.featurization.aggregates import Aggregate
from perennial.featurization.partials import partial_rows, partial_schema
from perennial.featurization.states import state_rows, states_of
from perennial.objective import ShareWithin
from perennial.time import Calendar

BERLIN = "Europe/Berlin"
RIDES = Pipeline(
    name="rides",
    owner="team:tests",
    objective=Regression(metric="mae", goal=1.0, unit="minutes", kpi=ShareWithin(1.0, "rides within a minute")),
    source=Files("{root}/{partition:%Y-%m-%d}.parquet", root="/nowhere", licence="none"),
    time=Daily(start="2024-03-25", event_time="began_at", timezone=BERLIN, known_after=timedelta(hours=2)),
    key=["ride"],
    schema=Schema(
        {
            "ride": Column("int64"),
            "zone": Column("int32", nullable=True),
            "line": Column("string"),
            "load": Column("float64"),
            "began_at": Column("datetime"),
            "done_at": Column("datetime", known="with_label"),
            "minutes": Column("float64", known="with_label"),
        }
    ),
    features=[col("zone"), col("load")],
    aggregates=[
        Rolling(by="zone", of="label", how="mean", days=3),
        Rolling(by="zone", how="count", days=2, default=0.0),
        Rolling(by=("zone", "line"), of="load", how="sum", days=1, default=-1.0),
        Rolling(by=("zone", "line"), of="label", how="max", days=3),
        Rolling(by="line", of=col("load"), how="std", days=3),
        Rolling(by="line", of="load", how="min", days=2),
        Rolling(by="line", of=(col("load") > 2).alias("heavy"), how="share", days=3, default=0.5),
    ],
    label=Label("minutes", value=col("minutes"), known_at="done_at", unit="minutes"),
    candidates=[Linear()],
    windows=Windows(train=3, validation=1, test=1),
)
MONTHS = replace(
    RIDES,
    time=Monthly(start="2024-02", event_time="began_at", timezone=BERLIN, known_after=timedelta(days=3)),
    aggregates=[replace(rolling, days=rolling.days * 12) for rolling in RIDES.aggregates],
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One accepted row of one revision."""

    zone: int | None
    line: str
    load: float
    minutes: float | None
    event_time: datetime
    known_at: datetime
    done_at: datetime | None
    """When its outcome could be known, in UTC."""


@dataclass(frozen=True, kw_only=True)
class Revision:
    """All rows of a partition as they were delivered at one time; None for one that was blocked."""

    known_at: datetime
    rows: tuple[Row, ...] | None


Timeline = dict[str, list[Revision]]
"""The revisions of each partition, oldest first."""


def accepted(revisions: list[Revision]) -> list[Revision]:
    """Those that count: one that was blocked leaves the one before it standing."""
    return [revision for revision in revisions if revision.rows is not None]


def frame_of(pipeline: Pipeline, key: str, rows: tuple[Row, ...]) -> pl.DataFrame:
    """The rows as table `accepted` holds them."""

    def wall(at: datetime | None) -> datetime | None:
        return at.astimezone(ZoneInfo(pipeline.time.timezone)).replace(tzinfo=None) if at else None

    columns = {
        "ride": range(len(rows)),
        "zone": [row.zone for row in rows],
        "line": [row.line for row in rows],
        "load": [row.load for row in rows],
        "began_at": [wall(row.event_time) for row in rows],
        "done_at": [wall(row.done_at) for row in rows],
        "minutes": [row.minutes for row in rows],
    }
    times = {name: [getattr(row, name) for row in rows] for name in ("event_time", "known_at")}
    utc = dict.fromkeys(times, pl.Datetime("us", "UTC"))
    return pl.DataFrame(columns | times, schema={**pipeline.schema.polars, **utc}).with_columns(partition=pl.lit(key))


def partials_of(pipeline: Pipeline, timeline: Timeline) -> pl.DataFrame:
    """The partials of every revision, each with the time from and until which it holds."""
    utc = pl.Datetime("us", "UTC")
    found = [pl.DataFrame(schema=dict(partial_schema(pipeline)) | {"since": utc, "until": utc})]
    for key, delivered in timeline.items():
        revisions = accepted(delivered)
        for revision, following in zip(revisions, [*revisions, None][1:], strict=True):
            if revision.rows is not None:
                partials = partial_rows(frame_of(pipeline, key, revision.rows), pipeline)
                until = following.known_at if following else None
                found.append(
                    partials.with_columns(since=pl.lit(revision.known_at).cast(utc), until=pl.lit(until, dtype=utc))
                )
    return pl.concat(found)


def built(pipeline: Pipeline, timeline: Timeline, keys: list[str]) -> pl.DataFrame:
    """Table `aggregates` of the partitions `keys`, computed in one go."""
    arrivals = {key: [revision.known_at for revision in accepted(revisions)] for key, revisions in timeline.items()}
    return state_rows(partials_of(pipeline, timeline), pipeline, states_of(pipeline, keys, arrivals))


def answer(pipeline: Pipeline, timeline: Timeline, row: Row, aggregate: Aggregate) -> float | None:
    """What `row` sees of `aggregate`, by loops over rows; None where it has no value."""
    seen = _newest_end(pipeline.time, row.event_time)
    if seen is None:
        return None
    entity = tuple(getattr(row, name) for name in aggregate.by)
    if None in entity:
        return None
    at = _state_at(pipeline, timeline, seen, row.event_time)
    values = [
        value
        for other in _rows_known(timeline, at)
        if tuple(getattr(other, name) for name in aggregate.by) == entity
        and _in_window(pipeline.time, other, seen, aggregate.days)
        and (value := _value(other, aggregate, at)) is not None
    ]
    return _summary(values, aggregate.how)


def _newest_end(calendar: Calendar, at: datetime) -> str | None:
    found = None
    key = calendar.start
    while calendar.known_at(key) <= at:
        found = key
        key = calendar.key_of(calendar.window(key).end)
    return found


def _state_at(pipeline: Pipeline, timeline: Timeline, key: str, at: datetime) -> datetime:
    """The last time up to `at` at which the aggregates of the end of `key` were looked at."""
    calendar = pipeline.time
    longest = max(aggregate.days for aggregate in pipeline.checked_aggregates)
    first = _midnight(calendar, _local_day(calendar, calendar.window(key).end) - timedelta(days=longest))
    state = calendar.known_at(key)
    for source, revisions in timeline.items():
        window = calendar.window(source)
        if window.end + calendar.known_after > first and window.start < calendar.window(key).end:
            for revision in accepted(revisions):
                if state < revision.known_at <= at:
                    state = revision.known_at
    return state


def _rows_known(timeline: Timeline, at: datetime) -> list[Row]:
    found: list[Row] = []
    for revisions in timeline.values():
        known = [revision for revision in accepted(revisions) if revision.known_at <= at]
        if known:
            found += [row for row in known[-1].rows or () if row.known_at <= at]
    return found


def _in_window(calendar: Calendar, row: Row, key: str, days: int) -> bool:
    end = _local_day(calendar, calendar.window(key).end)
    return end - timedelta(days=days) <= _local_day(calendar, row.event_time) < end


def _value(row: Row, aggregate: Aggregate, at: datetime) -> float | None:
    if aggregate.value == "minutes":
        return row.minutes if row.done_at is not None and row.done_at <= at else None
    return {"rows": 1.0, "load": row.load, "heavy": float(row.load > 2)}[aggregate.value]


def _summary(values: list[float], how: str) -> float | None:
    count = len(values)
    if count < (2 if how == "std" else 1):
        return None
    mean = math.fsum(values) / count
    return {
        "mean": mean,
        "share": mean,
        "sum": math.fsum(values),
        "count": float(count),
        "min": min(values),
        "max": max(values),
        "std": math.sqrt(math.fsum((value - mean) ** 2 for value in values) / max(count - 1, 1)),
    }[how]


def _local_day(calendar: Calendar, at: datetime) -> date:
    return at.astimezone(ZoneInfo(calendar.timezone)).date()


def _midnight(calendar: Calendar, day: date) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(calendar.timezone)).astimezone(UTC)
