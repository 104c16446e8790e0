"""Lineage: what each data table is made from, and whether a partition of it is still up to date.

A partition is made from the content of its parent and from the part of the declaration that its step
applies. Both are recorded as hashes when it is written; comparing them later says what is out of date.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from perennial.declaration import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a data table is made from."""

    parent: str | None
    declared: tuple[str, ...]
    """Fields of the declaration that decide its content."""


STEPS: Mapping[str, Step] = {
    "landed": Step(parent=None, declared=("schema", "time")),
    "accepted": Step(parent="landed", declared=("expectations", "time", "key")),
    "quarantined": Step(parent="landed", declared=("expectations", "time", "key")),
    "profile": Step(parent="accepted", declared=()),
    "features": Step(parent="accepted", declared=("features", "key")),
    "labels": Step(parent="accepted", declared=("label", "key")),
}
"""The data tables of every pipeline, parents before children."""


class Recorded(Protocol):
    """The part of a partition's record that lineage looks at."""

    @property
    def status(self) -> str: ...

    @property
    def reason(self) -> str | None: ...

    @property
    def content_hash(self) -> str: ...

    @property
    def inputs(self) -> Mapping[str, str]: ...


def inputs_of(pipeline: Pipeline, name: str, parent_hash: str) -> dict[str, str]:
    """What to record with a partition of table `name` made now from content `parent_hash`."""
    step = STEPS[name]
    return {step.parent or "source": parent_hash, "declaration": pipeline.part_hash(*step.declared)}


def with_ancestors(name: str) -> list[str]:
    """Table `name` and all it is made from, the source's own table last.

    >>> with_ancestors("features")
    ['features', 'accepted', 'landed']
    """
    parent = STEPS[name].parent
    return [name, *(with_ancestors(parent) if parent else [])]


def problem_with(pipeline: Pipeline, name: str, key: str, records: Mapping[str, Mapping[str, Recorded]]) -> str | None:
    """Why partition `key` of table `name` may not be read, or None when it stands and is up to date.

    `records` holds the manifest of each table. The parents are looked at first: the answer names the
    table that is to be mended.
    """
    step = STEPS[name]
    if step.parent:
        above = problem_with(pipeline, step.parent, key, records)
        if above:
            return above
    record = records[name].get(key)
    if record is None:
        return f"{name} is missing"
    if record.status != "ok":
        return f"{name} is blocked: {record.reason}"
    if record.inputs.get("declaration") != pipeline.part_hash(*step.declared):
        return f"{name} is out of date: its declaration has changed"
    if step.parent and record.inputs.get(step.parent) != records[step.parent][key].content_hash:
        return f"{name} is out of date: {step.parent} has changed"
    return None
