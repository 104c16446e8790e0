"""Declaration: one pipeline, said once, checked when it is loaded, and hashed.

Everything else in Perennial is derived from this value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

import polars as pl

from perennial.beside import Lookup, Timeline
from perennial.consistency import check_consistency
from perennial.featurization.aggregates import Aggregate, Rolling, declare_aggregates, entity_columns
from perennial.featurization.expressions import Feature, columns_of, declare_features
from perennial.labels.labelling import Label
from perennial.objective import Objective
from perennial.policies import Gates, Late, LeakageAudit, Monitoring, Retraining, Rules, Slice, Windows
from perennial.schema import Schema
from perennial.sources import Source
from perennial.time import CALENDARS, Calendar
from perennial.training.candidates.base import Candidate
from perennial.validation.expectations import Expectation, implied_rules
from perennial.validation.seasons.judgement import Seasons


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """One machine-learning product: what it predicts, from what, how well, and when it is renewed.

    Raises DeclarationError on construction, naming the pipeline, the field, the value and what was
    expected.
    """

    name: str
    owner: str
    objective: Objective
    source: Source
    time: Calendar
    key: Sequence[str]
    """What identifies a row: corrections, labels and served predictions meet on it."""
    schema: Schema
    features: Sequence[pl.Expr]
    label: Label
    candidates: Sequence[Candidate]
    windows: Windows
    description: str = ""
    expectations: Sequence[Expectation] = ()
    aggregates: Sequence[Rolling] = ()
    """Numbers of entities over the last days, each also a feature by its name."""
    lookups: Sequence[Lookup] = ()
    """Small tables whose columns join the rows."""
    timelines: Sequence[Timeline] = ()
    """Readings of other sources whose columns join the rows, after the lookups."""
    late: Late = field(default_factory=Late)
    leakage: LeakageAudit = field(default_factory=LeakageAudit)
    gates: Gates = field(default_factory=Gates)
    slices: Sequence[Slice] = ()
    seasons: Seasons = field(default_factory=Seasons)
    """How a partition is held against the like partitions before it."""
    monitoring: Monitoring = field(default_factory=Monitoring)
    retraining: Retraining = field(default_factory=Retraining)
    rules: Rules = field(default_factory=Rules)
    seed: int = 0

    def __post_init__(self) -> None:
        check_consistency(self)

    @cached_property
    def checked_features(self) -> tuple[Feature, ...]:
        """The features, proved row-wise, in declared order; then one for each aggregate."""
        features = [*self.features, *(pl.col(aggregate.name) for aggregate in self.checked_aggregates)]
        return declare_features(features, self.joined_schema.polars, where=f"pipeline {self.name!r}")

    @cached_property
    def checked_aggregates(self) -> tuple[Aggregate, ...]:
        """The aggregates, checked and named, in declared order."""
        return declare_aggregates(self.aggregates, self.schema, self.label, where=f"pipeline {self.name!r}")

    @cached_property
    def joined_schema(self) -> Schema:
        """The declared columns and, behind them, the aggregates: what features read and requests carry."""
        joined = {aggregate.name: aggregate.column for aggregate in self.checked_aggregates}
        return replace(self.schema, columns={**self.schema.columns, **joined}) if joined else self.schema

    @cached_property
    def request_columns(self) -> tuple[str, ...]:
        """Columns of a prediction request: the event time, whatever features read, and the entities of aggregates."""
        entities = entity_columns(self.checked_aggregates)
        return tuple(dict.fromkeys([self.time.event_time, *columns_of(self.checked_features), *entities]))

    @cached_property
    def judged(self) -> tuple[Expectation, ...]:
        """What validation holds against the rows: what is demanded of every pipeline, and the declared expectations."""
        return (*implied_rules(self.time, self.late, self.key, self.expectations), *self.expectations)

    @cached_property
    def drift_columns(self) -> tuple[str, ...]:
        """Columns whose distribution is watched."""
        if self.monitoring.columns is not None:
            return self.monitoring.columns
        declared = [name for name in self.request_columns if name in self.schema.columns]
        return tuple(name for name in declared if self.schema.columns[name].kind != "datetime")

    @cached_property
    def monitoring_time(self) -> Calendar:
        """The clock of the monitoring partitions."""
        calendar = CALENDARS[self.monitoring.every]
        start = self.time.window(self.time.start).start
        end = self.time.window(self.time.end).end - timedelta(microseconds=1) if self.time.end else None
        blank = calendar(start="", event_time=self.time.event_time, timezone=self.time.timezone)
        return calendar(
            start=blank.key_of(start),
            end=blank.key_of(end) if end else None,
            event_time=self.time.event_time,
            timezone=self.time.timezone,
        )

    @cached_property
    def hash(self) -> str:
        """sha256 of the whole declaration; equal declarations have equal hashes."""
        return _sha256(_plain(self))

    def part_hash(self, *names: str) -> str:
        """sha256 of some fields of the declaration: what a step applied; computed once, asked for every partition."""
        if names not in self._part_hashes:
            self._part_hashes[names] = _sha256([_plain(getattr(self, name)) for name in names])
        return self._part_hashes[names]

    @cached_property
    def _part_hashes(self) -> dict[tuple[str, ...], str]:
        return {}

    @property
    def casting(self) -> tuple[object, ...]:
        """What decides how the source's rows are cast: not what the columns mean to a person."""
        columns = {name: (column.kind, column.source) for name, column in self.schema.columns.items()}
        return (columns, self.schema.allow_additional)

    @property
    def outcome(self) -> tuple[object, ...]:
        """What decides a row's outcome: not who says so, how surely, or since when."""
        return (self.label.name, self.label.value, self.label.unit)

    @property
    def reading(self) -> tuple[object, ...]:
        """What decides, beside the source's content, which rows come out of it; where it lies does not."""
        return (*self.source.reading, *(each.reading for each in self.beside))

    @property
    def beside(self) -> tuple[Lookup | Timeline, ...]:
        """The other sources that join the rows, in the order in which they do."""
        return (*self.lookups, *self.timelines)

    def table(self, name: str) -> str:
        """Name of one of the pipeline's tables in the lake, such as `taxi_eta/landed`."""
        return f"{self.name}/{name}"


def _sha256(plain: Any) -> str:
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """`value` as JSON with everything that a hash must see."""
    if isinstance(value, pl.Expr):
        return json.loads(value.meta.serialize(format="json"))
    if is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__} | {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
