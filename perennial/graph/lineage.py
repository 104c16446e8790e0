"""Lineage: what each data table of a pipeline is made from, and which partitions are out of date.

Every derived partition records the content hashes of its inputs and the hash of the part of the
declaration that it applied. It stands while both are what they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from perennial.featurization.lineage import in_sight, in_window
from perennial.graph.records import PartitionRecord
from perennial.validation.seasons.lineage import BEFORE, Acknowledged, Fit, fit_of, in_history

if TYPE_CHECKING:
    from perennial.declaration import Pipeline


History = Mapping[str, Mapping[int, PartitionRecord]]
"""Every revision of each partition of a table, both in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Across:
    """Other partitions that a step reads, of another table or of its own."""

    table: str
    """What records and people call them, in the plural."""
    reads: Callable[[Standing, str, int], Mapping[str, str]]
    """What a partition in a revision is made from, by a name for each part: content hashes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a data table is made from."""

    parent: str | None
    """The table of whose same partition and revision it is made."""
    declared: tuple[str, ...]
    """Fields of the declaration that decide its content."""
    across: Across | None = None
    needs: str | None = None
    """Field of the declaration without which a pipeline has no such table."""


STEPS: Mapping[str, Step] = {
    "landed": Step(parent=None, declared=("casting", "time", "reading")),
    "accepted": Step(parent="landed", declared=("expectations", "time", "key", "late")),
    "quarantined": Step(parent="landed", declared=("expectations", "time", "key", "late")),
    "profile": Step(parent="accepted", declared=()),
    "summary": Step(
        parent="accepted",
        declared=("seasons", "features", "outcome", "key"),
        across=Across(table=BEFORE, reads=in_history),
    ),
    "partials": Step(parent="accepted", declared=("aggregates", "label", "time"), needs="aggregates"),
    "aggregates": Step(
        parent=None,
        declared=("aggregates", "time"),
        across=Across(table="partials", reads=in_window),
        needs="aggregates",
    ),
    "features": Step(
        parent="accepted",
        declared=("features", "key", "aggregates"),
        across=Across(table="aggregates", reads=in_sight),
    ),
    "labels": Step(parent="accepted", declared=("label", "key")),
}
"""The data tables of pipelines, parents before children."""


def steps_of(pipeline: Pipeline) -> tuple[str, ...]:
    """The data tables that `pipeline` has, parents before children."""
    return tuple(name for name, step in STEPS.items() if step.needs is None or getattr(pipeline, step.needs))


def with_ancestors(name: str) -> list[str]:
    """Table `name` and all of whose same partition it is made, the source's own table last.

    >>> with_ancestors("features")
    ['features', 'accepted', 'landed']
    """
    parent = STEPS[name].parent
    return [name, *(with_ancestors(parent) if parent else [])]


def inputs_of(
    pipeline: Pipeline, name: str, parent_hash: str, *, across: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What to record with a partition of table `name` made now from content `parent_hash`."""
    step = STEPS[name]
    inputs = {step.parent or "source": parent_hash, "declaration": pipeline.part_hash(*step.declared)}
    return inputs | ({step.across.table: digest(across or {})} if step.across else {})


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the manifest says of a pipeline's data tables, looked up once a table."""

    pipeline: Pipeline
    load: Callable[[str], History]
    """The manifest of a table by its name."""
    acknowledged: Callable[[], Acknowledged] = dict
    """What persons have found right although its history blocks it; asked for only where something is blocked."""
    online_place: str = ""
    """Which online store the settings name."""
    _loaded: dict[str, History] = field(default_factory=dict, init=False, repr=False, compare=False)
    _problems: dict[tuple[str, str, int], str | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def history(self, name: str) -> History:
        """Every revision of each partition of table `name`."""
        if name not in self._loaded:
            self._loaded[name] = self.load(name)
        return self._loaded[name]

    @cached_property
    def fit(self) -> Fit:
        """The partitions that others are held against."""
        return fit_of(self.history("summary"), self.acknowledged)

    def newest(self, key: str) -> int | None:
        """The newest revision of partition `key` that landed, or tried to."""
        return max(self.history("landed").get(key, {}), default=None)

    def known(self, key: str, at: datetime) -> int | None:
        """The last revision of partition `key` that was known at the instant `at`."""
        revisions = self.history("landed").get(key, {})
        known = (n for n, record in revisions.items() if record.known_at is None or record.known_at <= at)
        return max(known, default=None)

    def record(self, name: str, key: str, revision: int | None = None) -> PartitionRecord | None:
        """What table `name` holds of partition `key` in a revision, the newest that landed by default."""
        number = self.newest(key) if revision is None else revision
        return None if number is None else self.history(name).get(key, {}).get(number)

    def across(self, name: str, key: str, revision: int) -> dict[str, str]:
        """What partition `key` of table `name` would read of other partitions now, by name: content hashes."""
        step = STEPS[name]
        return dict(step.across.reads(self, key, revision)) if step.across else {}

    def problem_with(self, name: str, key: str, revision: int | None = None) -> str | None:
        """Why partition `key` of table `name` may not be read, or None when it stands and is up to date.

        The newest revision is meant unless one is named. The parents are looked at first: the answer
        names the table that is to be mended.
        """
        number = self.newest(key) if revision is None else revision
        if name not in steps_of(self.pipeline):
            return None
        if number is None:
            return "landed is missing"
        found = (name, key, number)
        if found not in self._problems:  # a window asks for the same partitions as the one before it
            self._problems[found] = self._problem_with(*found)
        return self._problems[found]

    def _problem_with(self, name: str, key: str, number: int) -> str | None:
        step = STEPS[name]
        above = self.problem_with(step.parent, key, number) if step.parent else None
        if above:
            return above
        record = self.record(name, key, number)
        if record is None:
            return f"{name} is {'missing' if not self.history(name).get(key) else 'out of date: landed has changed'}"
        if record.status != "ok":
            return f"{name} is blocked: {record.reason}"
        return self._staleness(name, key, number, record)

    def waits_for_others(self, name: str, key: str, revision: int | None = None) -> bool:
        """Whether partition `key` of table `name` is out of date by nothing but what it reads of other partitions."""
        return self.problem_with(name, key, revision) == _others_have_changed(name)

    def problem_with_any(self, names: Iterable[str], key: str) -> str | None:
        """The first problem with partition `key` in tables `names`: in its newest revision, else in one before.

        What is read across partitions, all their revisions together, is made once for the newest.
        """
        for number in [self.newest(key), *self.earlier(key)]:
            for name in names:
                if number != self.newest(key) and STEPS[name].across and not STEPS[name].parent:
                    continue
                problem = self.problem_with(name, key, number)
                if problem:
                    return problem if number == self.newest(key) else f"{problem} (revision {number})"
        return None

    def earlier(self, key: str) -> list[int]:
        """The revisions of `key` before the newest that landed well, newest first."""
        landed = self.history("landed").get(key, {})
        return [n for n in sorted(landed, reverse=True) if n != self.newest(key) and landed[n].status == "ok"]

    def _staleness(self, name: str, key: str, revision: int, record: PartitionRecord) -> str | None:
        step = STEPS[name]
        # What landed earlier cannot land again: its source is another by now. A new column is null in it.
        stays = step.parent is None and step.across is None and revision != self.newest(key)
        if not stays and record.inputs.get("declaration") != self.pipeline.part_hash(*step.declared):
            return f"{name} is out of date: its declaration has changed"
        parent = self.record(step.parent, key, revision) if step.parent else None
        if parent and record.inputs.get(str(step.parent)) != parent.content_hash:
            return f"{name} is out of date: {step.parent} has changed"
        if step.across and record.inputs.get(step.across.table) != digest(self.across(name, key, revision)):
            return _others_have_changed(name)
        return None


def _others_have_changed(name: str) -> str | None:
    across = STEPS[name].across
    return f"{name} is out of date: {across.table} have changed" if across else None


def digest(parts: Mapping[str, str]) -> str:
    """A name for the content hashes of several partitions; taken of hundreds for each of thousands."""
    return hashlib.sha256("\n".join(text for part in sorted(parts.items()) for text in part).encode()).hexdigest()
