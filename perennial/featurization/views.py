"""Views: the feature views of a pipeline, one for each entity, generated from its declared aggregates.

A view holds every aggregate of one entity; its values are known from `known_at` on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from perennial.errors import DeclarationError
from perennial.schema import Kind

ENTITY_KINDS: tuple[Kind, ...] = ("string", "int32", "int64")
"""Kinds of column that can name an entity: a float has no exact value, and a time is no thing."""
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
        """What the stores call it.

        >>> FeatureView(pipeline="rides", by={"zone": "string"}, features={}).name
        'by_zone'
        """
        name = "by_" + "_and_".join(self.by)
        return name if len(name) <= MOST_CHARACTERS else f"by_{_sha256([*self.by])[:16]}"

    @cached_property
    def hash(self) -> str:
        """sha256 of the entity and the declarations of its aggregates."""
        return _sha256([self.pipeline, list(self.by.items()), sorted(self.features.items())])


def view_name(by: Sequence[str]) -> str:
    """Name of the view of the entity with columns `by`, whatever their kinds."""
    return FeatureView(pipeline="", by=dict.fromkeys(by, "string"), features={}).name


def _sha256(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
