"""Declaration: one pipeline, said once, checked when it is loaded, and hashed.

Everything else in Perennial is derived from this value.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, NoReturn

import polars as pl

from perennial.errors import DeclarationError, FeatureError
from perennial.featurization.aggregates import Aggregate, Rolling, declare_aggregates, entity_columns
from perennial.featurization.expressions import Feature, check_row_wise, columns_of, declare_features
from perennial.labels.labelling import Label
from perennial.objective import Objective
from perennial.policies import Gates, Late, LeakageAudit, Maturity, Monitoring, Retraining, Slice, Windows
from perennial.schema import Schema
from perennial.sources import Files
from perennial.time import Calendar, Daily, Hourly, Monthly
from perennial.training.candidates.base import Candidate
from perennial.validation.expectations import Expectation, time_rules

NAME = re.compile(r"[a-z][a-z0-9_]{1,62}")
LAKE_COLUMNS = (
    *("event_time", "known_at", "partition", "revision", "reason", "split", "label", "prediction", "source_partition"),
    *("id", "at", "pipeline", "version", "bundle", "latency_ms", "instance", "features", "source", "defaulted"),
)
"""Names that the lake's tables add to every row, so that no declared column may have them."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """One machine-learning product: what it predicts, from what, how well, and when it is renewed.

    Raises DeclarationError on construction, naming the pipeline, the field, the value and what was
    expected.
    """

    name: str
    owner: str
    objective: Objective
    source: Files
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
    late: Late = field(default_factory=Late)
    leakage: LeakageAudit = field(default_factory=LeakageAudit)
    gates: Gates = field(default_factory=Gates)
    slices: Sequence[Slice] = ()
    monitoring: Monitoring = field(default_factory=Monitoring)
    retraining: Retraining = field(default_factory=Retraining)
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_identity()
        self._check_columns()
        self._check_features()
        self._check_row_wise()
        self._check_policies()
        self._check_ranges()

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
        """What validation holds against the rows: the declared expectations, and what time itself demands."""
        return (*time_rules(self.time, self.late, self.expectations), *self.expectations)

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
        clocks: dict[str, type[Hourly | Daily | Monthly]] = {"1h": Hourly, "1d": Daily, "1mo": Monthly}
        calendar = clocks[self.monitoring.every]
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
        canonical = json.dumps(_plain(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def part_hash(self, *names: str) -> str:
        """sha256 of some fields of the declaration: what a step applied; computed once, asked for every partition."""
        if names not in self._part_hashes:
            parts = [_plain(getattr(self, name)) for name in names]
            canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
            self._part_hashes[names] = hashlib.sha256(canonical.encode()).hexdigest()
        return self._part_hashes[names]

    @cached_property
    def _part_hashes(self) -> dict[tuple[str, ...], str]:
        return {}

    @property
    def reading(self) -> tuple[object, ...]:
        """What decides, beside the source's content, which rows come out of it; where it lies does not."""
        return self.source.reading

    def table(self, name: str) -> str:
        """Name of one of the pipeline's tables in the lake, such as `taxi_eta/landed`."""
        return f"{self.name}/{name}"

    def _check_identity(self) -> None:
        if not NAME.fullmatch(self.name):
            self._refuse("name", self.name, "lower-case letters, digits and underscores, starting with a letter")
        if not self.owner.startswith("team:") and "@" not in self.owner:
            self._refuse("owner", self.owner, "'team:NAME' or an e-mail address")
        try:
            self.time.window(self.time.start)
            self.time.window(self.time.end or self.time.start)
        except (ValueError, KeyError) as error:
            self._refuse("time", self.time, f"start and end of the form {self.time.key_format} and a timezone", error)

    def _check_columns(self) -> None:
        columns = self.schema.columns
        for name in columns:
            if name in LAKE_COLUMNS:
                self._refuse("schema", name, f"a name other than {', '.join(LAKE_COLUMNS)}, which the lake uses")
        named = [("time.event_time", self.time.event_time), ("label.known_at", self.label.known_at)]
        named += [("key", name) for name in self.key]
        named += [("time.row_known_at", self.time.row_known_at)] if self.time.row_known_at else []
        named += [("label.value", name) for name in self.label.value.meta.root_names()]
        named += [("expectations", name) for e in self.expectations for name in e.columns]
        named += [(f"slices[{s.name}]", name) for s in self.slices for name in s.where.meta.root_names()]
        named += [("monitoring.columns", name) for name in self.monitoring.columns or ()]
        for where, name in named:
            if name not in columns:
                self._refuse(where, name, f"a declared column ({', '.join(columns)})")
        for where, name in named[:2]:
            if columns[name].kind != "datetime":
                self._refuse(where, f"{name} of kind {columns[name].kind}", "a column of kind datetime")
        if not self.key:
            self._refuse("key", self.key, "at least one column")

    def _check_features(self) -> None:
        if not self.features:
            self._refuse("features", self.features, "at least one expression")
        try:
            used = columns_of(self.checked_features)
        except FeatureError as error:
            raise _as_declared("features", error) from error
        taken = {*self.key, *LAKE_COLUMNS}
        for feature in self.checked_features:
            if feature.name in taken:
                self._refuse("features", feature.name, f"a name other than {', '.join(sorted(taken))}")
        for name in used:
            if not self.joined_schema.columns[name].usable_in_features:
                self._refuse(
                    "features",
                    name,
                    "columns known when the prediction is made (known='with_label' bars a column; "
                    "stands_in_for='...' lifts the bar with a reason)",
                )
        for name in self.monitoring.columns or ():
            if name not in self.request_columns:
                self._refuse("monitoring.columns", name, f"columns that features read ({', '.join(used)})")

    def _check_row_wise(self) -> None:
        named = [("label.value", self.label.value), *((f"slices[{s.name}]", s.where) for s in self.slices)]
        columns = self.schema.columns.items()
        named += [(f"schema[{name}].source", c.source) for name, c in columns if isinstance(c.source, pl.Expr)]
        for field_name, expression in named:
            try:
                check_row_wise(expression.meta.serialize(format="json"), where=f"pipeline {self.name!r}")
            except FeatureError as error:
                raise _as_declared(field_name, error) from error

    def _check_policies(self) -> None:
        for part in ("train", "validation", "test"):
            if getattr(self.windows, part) < 1:
                self._refuse(f"windows.{part}", getattr(self.windows, part), "at least 1 partition")
        if self.time.end and self.windows.length > len(self.time.keys(self.time.start, self.time.end)):
            self._refuse(
                "windows", self.windows.length, f"at most the partitions from {self.time.start} to {self.time.end}"
            )
        names = [candidate.name for candidate in self.candidates]
        if len(set(names)) != len(names) or not names:
            self._refuse("candidates", names, "at least one candidate, each with a name of its own")
        if not any(candidate.baseline for candidate in self.candidates):
            self._refuse("candidates", names, "at least one baseline, such as Median(by=...) or Linear()")
        features = {feature.name: feature for feature in self.checked_features}
        task = self.objective.task
        for candidate in self.candidates:
            if task not in candidate.tasks:
                learns = " and ".join(sorted(candidate.tasks))
                found = f"{type(candidate).__name__}, which learns {learns}"
                self._refuse(f"candidates[{candidate.name}]", found, f"a candidate for {task}, the objective's task")
            for name in candidate.needs:
                if name not in features:
                    self._refuse(f"candidates[{candidate.name}]", name, f"a feature ({', '.join(features)})")
        if len({s.name for s in self.slices}) != len(self.slices):
            self._refuse("slices", [s.name for s in self.slices], "slices with names of their own")
        drift = self.retraining.drift
        if drift and not 1 <= drift.k <= drift.n:
            self._refuse("retraining.drift", drift, "1 <= k <= n")

    def _check_ranges(self) -> None:
        for where, value, expected in self.objective.misfits():
            self._refuse(f"objective.{where}", value, expected)
        baselines, champion = self.gates.baselines, self.gates.champion
        for where, share in (("baselines", baselines.confidence), ("champion", champion.confidence)):
            if not 0 < share < 1:
                self._refuse(f"gates.{where}.confidence", share, "0 < confidence < 1")
        if not champion.margin >= 0:
            self._refuse("gates.champion.margin", champion.margin, "margin >= 0")
        if not self.monitoring.drift_threshold > 0:
            self._refuse("monitoring.drift_threshold", self.monitoring.drift_threshold, "drift_threshold > 0")
        if self.retraining.new_labels is not None and not self.retraining.new_labels > 0:
            self._refuse("retraining.new_labels", self.retraining.new_labels, "new_labels > 0, or None")
        mature = self.label.mature_after
        if isinstance(mature, Maturity) and not 0 < mature.completeness <= 1:
            self._refuse("label.mature_after.completeness", mature.completeness, "0 < completeness <= 1")
        latest = mature.at_latest if isinstance(mature, Maturity) else mature
        if latest is not None and latest < timedelta(0):
            self._refuse("label.mature_after", mature, "a span after the partition's end")
        for part in self.slices:
            if not part.limit > 0:
                self._refuse(f"slices[{part.name}].limit", part.limit, "limit > 0")

    def _refuse(self, where: str, value: object, expected: str, cause: Exception | None = None) -> NoReturn:
        raise DeclarationError(
            f"field {where!r} does not fit", where=f"pipeline {self.name!r}", found=repr(value), expected=expected
        ) from cause


def _as_declared(name: str, error: FeatureError) -> DeclarationError:
    return DeclarationError(
        f"field {name!r}: {error.what}",
        where=error.where,
        found=error.found,
        expected=error.expected,
        hint=error.hint,
    )


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
