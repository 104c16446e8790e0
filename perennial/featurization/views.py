"""Views: the feature views of a pipeline, one for each entity, generated from its declared aggregates.

A view holds every aggregate of one entity; its values are known from `known_at` on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from perennial.errors import DeclarationError
from perennial.featurization.aggregates import ENTITY_KINDS, Aggregate, groups_of
from perennial.featurization.states import state_schema
from perennial.schema import Kind

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

MOST_CHARACTERS = 40
"""Of a view's name; Postgres cuts a table's name at 63."""


@dataclass(frozen=True, kw_only=True)
class FeatureView:
    """The aggregates of one entity of one pipeline."""

    pipeline: str
    by: Mapping[str, Kind]
    """The entity's columns and their kinds, as declared."""
    features: Mapping[str, str]
    """Name of each aggregate, and the sha256 of its declaration."""

    def __post_init__(self) -> None:
        for column, kind in self.by.items():
            if kind not in ENTITY_KINDS:
                raise DeclarationError(
                    f"column {column!r} cannot name an entity", where=f"pipeline {self.pipeline!r}", found=kind,
                    expected=f"one of {', '.join(ENTITY_KINDS)}",
                )  # fmt: skip

    @cached_property
    def name(self) -> str:
        """What the stores call it, such as `by_pickup_zone`; of a long name its digest."""
        name = "by_" + "_and_".join(self.by)
        return name if len(name) <= MOST_CHARACTERS else f"by_{_sha256([*self.by])[:16]}"

    def rows(self, states: pl.DataFrame | None, pipeline: Pipeline) -> pl.DataFrame:
        """Those rows of the table of aggregates that are this view's: entity, features, known_at."""
        found = states if states is not None else pl.DataFrame(schema=state_schema(pipeline))
        return found.filter(pl.col("by") == "+".join(self.by)).select(*self.by, *self.features, "known_at")

    def departures(self, before: pl.DataFrame, states: pl.DataFrame, at: datetime) -> pl.DataFrame:
        """Rows of nulls known `at`: the entities with a value in the last state of `before`, and none in `states` then.

        Both are rows of this view, of one partition's end and of a later one that was first known `at`.
        """
        last = before.filter(pl.col("known_at") == pl.col("known_at").max(), self._valued)
        gone = last.join(states.filter(pl.col("known_at") == at), on=list(self.by), how="anti", maintain_order="left")
        nulls = (pl.lit(None, states.schema[name]).alias(name) for name in self.features)
        return gone.select(*self.by, *nulls, pl.lit(at, states.schema["known_at"]).alias("known_at"))

    def without_departures(self, states: pl.DataFrame, at: datetime) -> pl.DataFrame:
        """The rows of one partition's end that was first known `at`, whose first nulls can only be departures."""
        return states.filter(self._valued | (pl.col("known_at") != at))

    @property
    def _valued(self) -> pl.Expr:
        """Whether an entity has any value."""
        return pl.any_horizontal(pl.col(name).is_not_null() for name in self.features)

    @cached_property
    def hash(self) -> str:
        """sha256 of the entity and the declarations of its aggregates."""
        return _sha256([self.pipeline, list(self.by.items()), sorted(self.features.items())])


def feature_views(pipeline: Pipeline) -> tuple[FeatureView, ...]:
    """The views of `pipeline`, one for each entity that its aggregates name, in order of declaration."""
    return tuple(
        FeatureView(
            pipeline=pipeline.name,
            by={name: pipeline.schema.columns[name].kind for name in members[0].by},
            features={member.name: _declared(pipeline, member) for member in members},
        )
        for members in groups_of(pipeline.checked_aggregates).values()
    )


def stale_after(pipeline: Pipeline) -> timedelta:
    """How long a value may be seen: two of the pipeline's partitions, of which the next brings a newer one."""
    calendar = pipeline.time
    keys = calendar.preceding(calendar.start, 12)
    return 2 * max(calendar.window(key).end - calendar.window(key).start for key in keys)


def view_name(by: Sequence[str]) -> str:
    """Name of the view of the entity with columns `by`, whatever their kinds."""
    return FeatureView(pipeline="", by=dict.fromkeys(by, "string"), features={}).name


def _declared(pipeline: Pipeline, aggregate: Aggregate) -> str:
    """sha256 of all that decides what the values of `aggregate` mean; its default is each bundle's own."""
    value = aggregate.expression.meta.serialize(format="json") if aggregate.expression is not None else None
    time = pipeline.time
    when = [time.event_time, time.timezone, time.key_format, time.known_after.total_seconds()]
    outcome = pipeline.label.known_at if aggregate.late else None
    return _sha256([list(aggregate.by), aggregate.how, aggregate.days, value, outcome, when])


def _sha256(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
