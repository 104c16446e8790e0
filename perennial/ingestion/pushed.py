"""Pushed events: what a pushed source takes, as the server is told it, and what an hour of its events says.

The server knows neither Dagster nor the pipelines' modules: an `Intake` is all of a declaration that it needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import polars as pl

from perennial.bundle.bundle import CLOCKS, RequestColumn, RequestSchema
from perennial.errors import DeclarationError
from perennial.ingestion.partitioned import Partitioned
from perennial.prediction.request import FieldError, RequestReader, Row
from perennial.time import Calendar

AHEAD = timedelta(days=1)
"""How far an event may lie ahead of the server's clock: its partition must come round."""
MOST_EVENTS = 10_000
"""Of one request."""


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What one pushed source takes: fields by their names in the source, and the partitions they land in."""

    pipeline: str
    schema: RequestSchema
    start: str
    """Key of the first partition; an earlier event would never land."""
    end: str | None = None

    @cached_property
    def reader(self) -> RequestReader:
        """Checks the events of a request, field by field."""
        return RequestReader(self.schema, of="events")

    @cached_property
    def calendar(self) -> Calendar:
        """The partitions, by the event's own time."""
        clock = CLOCKS[self.schema.every]
        return clock(start=self.start, end=self.end, event_time=self.schema.event_time, timezone=self.schema.timezone)

    def to_json(self) -> str:
        """As it is published; equal for equal declarations."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: bytes) -> Intake:
        """The intake that `to_json` wrote."""
        raw = json.loads(text)
        return cls(**raw | {"schema": RequestSchema.from_json(json.dumps(raw["schema"]).encode())})

    def partitions_of(self, rows: Sequence[Row], *, now: datetime) -> dict[str, list[Row]]:
        """The checked events by partition, in their order. Raises FieldError for one that could never land."""
        found: dict[str, list[Row]] = {}
        for index, row in enumerate(rows):
            instant = self.reader.event_time(row)
            key = self.calendar.key_of(instant)
            if instant > now + AHEAD:
                self._refuse(index, "lies in the future", instant, f"at most a day after {now.isoformat()}")
            if key < self.start or (self.end is not None and key > self.end):
                last = f" to {self.end}" if self.end else ""
                self._refuse(index, f"lies in partition {key}", instant, f"partition {self.start}{last} or later")
            found.setdefault(key, []).append(row)
        return found

    def _refuse(self, index: int, what: str, instant: datetime, expected: str) -> None:
        name = self.schema.event_time
        raise FieldError(
            f"field {name!r} {what}", index=index, field=name, found=instant.isoformat(), expected=expected, of="events"
        )


def intake_of(pipeline: Partitioned) -> Intake:
    """What the pushed source of `pipeline` takes.

    Every declared column by its name in the source; those known only with the label may be absent, and come
    with a later event of the same key. Raises DeclarationError for a column that is computed from others.
    """
    columns = pipeline.schema.columns
    computed = [name for name, column in columns.items() if isinstance(column.source, pl.Expr)]
    if computed:
        raise DeclarationError(
            f"column {computed[0]!r} of a pushed source is computed",
            where=pipeline.name,
            found="Column(source=<expression>)",
            expected="events in their declared types: a name, or none",
        )
    names = {name: str(column.source or name) for name, column in columns.items()}
    needed = {*pipeline.key, pipeline.time.event_time}
    fields = {
        name: RequestColumn(
            name=names[name], kind=c.kind, nullable=name not in needed, unit=c.unit, meaning=c.meaning, pii=c.pii
        )
        for name, c in columns.items()
    }
    late = [name for name, column in columns.items() if column.known == "with_label" and name not in needed]
    schema = RequestSchema(
        event_time=names[pipeline.time.event_time],
        timezone=pipeline.time.timezone,
        every=pipeline.time.every,  # type: ignore[arg-type]  # one of CLOCKS
        key=tuple(names[name] for name in pipeline.key),
        columns=tuple(field for name, field in fields.items() if name not in late),
        optional=tuple(fields[name] for name in late),
    )
    return Intake(pipeline=pipeline.name, schema=schema, start=pipeline.time.start, end=pipeline.time.end)


def received_of(events: Iterable[tuple[Mapping[str, Any], datetime]], intake: Intake) -> pl.Series:
    """When each row of `frame_of` was received: its last event, or the first of those that say the same."""
    latest: dict[tuple[Any, ...], tuple[Mapping[str, Any], datetime]] = {}
    for event, at in events:
        key = tuple(event.get(name) for name in intake.schema.key)
        if key not in latest or latest[key][0] != event:
            latest[key] = event, at
    return pl.Series("received", [at for _, at in latest.values()], dtype=pl.Datetime("us", "UTC"))


def frame_of(events: Iterable[Mapping[str, Any]], intake: Intake) -> pl.DataFrame:
    """Events, oldest first, as rows in the source's names: of those with one key the last, at the first one's place.

    Times are read, absent fields that come with the label are null; all else is left to the declared schema.
    """
    latest: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for event in events:
        latest[tuple(event.get(name) for name in intake.schema.key)] = event
    frame = pl.DataFrame(list(latest.values()), infer_schema_length=None, strict=False)
    absent = [pl.lit(None).alias(field.name) for field in intake.schema.optional if field.name not in frame.columns]
    kinds = {field.name: field.kind for field in (*intake.schema.columns, *intake.schema.optional)}
    times = [
        pl.col(name).str.to_datetime(time_unit="us", strict=True)
        for name, dtype in frame.schema.items()
        if kinds.get(name) == "datetime" and dtype == pl.String
    ]
    return frame.with_columns(*times, *absent)
