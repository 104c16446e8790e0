"""Lookup: the aggregates that instances leave out, read from the online store, a micro-batch in one question.

An aggregate that cannot be read holds its declared default, and the answer says so: `absent` (the entity
has no value), `future` (what is online was not known yet when the instance happened), `stale` (it is older
than the bundle allows) or `unavailable` (the online store is down, empty, or holds values of another
declaration). The last two are troubles, which alerts name.

What is online is read after the values that it is to speak for: whoever writes other ones says so first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from perennial.bundle.bundle import Lookup, RequestSchema
from perennial.errors import OnlineStoreDown
from perennial.prediction.request import RequestReader, Row
from perennial.schema import Kind
from perennial.stores.online import OnlineReader, OnlineState, Rows, read_states
from perennial.stores.online.encoding import EntityKeys
from serving.metrics import Metrics

log = logging.getLogger("serving")

STATE_SECONDS = 1.0
"""After a failure, how long the store is left alone; when nothing is looked up, how often it is looked at."""
TROUBLE_SECONDS = 60.0
"""How long a stale answer counts as a trouble."""
ABSENT, FUTURE, STALE, UNAVAILABLE = "absent", "future", "stale", "unavailable"

Trouble = tuple[str, str]
"""Pipeline and view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The looked-up values of one instance."""

    values: tuple[float | None, ...]
    defaulted: Mapping[str, str]
    """By the name of each lookup that holds its default: why."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ViewPlan:
    """What one view gives to the instances of one bundle."""

    name: str
    lookups: tuple[tuple[int, Lookup], ...]
    """Each with its position among the bundle's lookups."""
    entity: tuple[int, ...]
    """Positions of the entity's columns in a row."""
    keys: EntityKeys

    @property
    def features(self) -> list[str]:
        """Names of the lookups."""
        return [lookup.name for _, lookup in self.lookups]


@dataclass(slots=True, kw_only=True)
class Known:
    """What is online of the views of one pipeline, as last read."""

    states: Mapping[str, OnlineState] = field(default_factory=dict)
    read_at: float = -1e9
    down: str | None = None
    """Why it could not be read."""
    missing: tuple[str, ...] = ()
    """Views of which nothing is online."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """The rows of one micro-batch while their lookups are filled in."""

    pipeline: str
    reader: RequestReader
    rows: Sequence[Row]
    known: Known
    values: list[list[Any]]
    """By row: each lookup, UNSET as long as it is not known."""
    defaulted: list[dict[str, str]]
    """By row: each lookup that got its default, and why."""


class Lookups:
    """Fills in the lookups of checked rows; never fails, since every lookup has a default."""

    def __init__(
        self, reader: OnlineReader | None, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reader = reader
        self._metrics = metrics
        self._clock = clock
        self._known: dict[str, Known] = {}
        self._reading: dict[str, asyncio.Task[bool]] = {}
        self._seen: dict[Trouble, tuple[float, str]] = {}
        self._planned: WeakKeyDictionary[RequestReader, tuple[ViewPlan, ...]] = WeakKeyDictionary()

    async def fill(self, pipeline: str, reader: RequestReader, rows: Sequence[Row]) -> list[Found]:
        """The lookups of each of `rows`: carried, read, or defaulted and marked."""
        began = self._clock()
        plans = self._plans(reader)
        asked = Asked(
            pipeline=pipeline, reader=reader, rows=rows, known=self._known.setdefault(pipeline, Known()),
            values=[list(reader.carried(row)) for row in rows], defaulted=[{} for _ in rows],
        )  # fmt: skip
        wanted = [_wanted(asked, plan) for plan in plans]
        found = await self._read(asked, plans, wanted)
        for plan, entities, online in zip(plans, wanted, found, strict=True):
            self._settle(asked, plan, entities, online)
        for (name, reason), count in Counter(pair for one in asked.defaulted for pair in one.items()).items():
            self._metrics.lookup_defaults.labels(pipeline, name, reason).inc(count)
        self._metrics.lookup_seconds.labels(pipeline).observe(self._clock() - began)
        return [Found(values=tuple(v), defaulted=d) for v, d in zip(asked.values, asked.defaulted, strict=True)]

    def troubles(self) -> dict[Trouble, str]:
        """What a person should look at now, by pipeline and view: why."""
        now = self._clock()
        found = {trouble: said for trouble, (at, said) in list(self._seen.items()) if now - at < TROUBLE_SECONDS}
        for pipeline, known in list(self._known.items()):
            if known.down is not None:
                found[pipeline, "online store"] = known.down
            found |= {(pipeline, view): "nothing is online: run online_features" for view in known.missing}
        return found

    def watched(self) -> set[str]:
        """The pipelines whose lookups were asked for since the server began."""
        return set(self._known)

    async def close(self) -> None:
        """Let the connection go."""
        for task in self._reading.values():
            task.cancel()
        if self._reader is not None:
            await self._reader.close()

    def _plans(self, reader: RequestReader) -> tuple[ViewPlan, ...]:
        """What each view gives; kept as long as the version that asks is served."""
        plans = self._planned.get(reader)
        if plans is None:
            plans = self._planned[reader] = _plans(reader.schema)
        return plans

    async def _read(
        self, asked: Asked, plans: Sequence[ViewPlan], wanted: Sequence[Mapping[int, bytes | None]]
    ) -> list[Rows | None]:
        """The values of each view, then the state that they are judged by; None while nothing can be read."""
        nothing: list[Rows | None] = [None] * len(plans)
        pipeline, known, views = asked.pipeline, asked.known, frozenset(plan.name for plan in plans)
        if self._reader is None or known.down is not None or not any(wanted):
            self._look(pipeline, known, views)
            return nothing
        found: list[Rows | None] = []
        try:
            for plan, entities in zip(plans, wanted, strict=True):
                keys = list({key for key in entities.values() if key is not None})
                found.append(await self._reader.read(pipeline, plan.name, plan.features, keys) if keys else {})
        except OnlineStoreDown as error:
            self._note(pipeline, known, error)
            return nothing
        return found if await self._read_states(pipeline, known, views) else nothing

    def _settle(self, asked: Asked, plan: ViewPlan, wanted: Mapping[int, bytes | None], found: Rows | None) -> None:
        """Fill in what was `found` for each instance, or the default and why."""
        for index, key in wanted.items():
            online = {} if found is None or key is None else found.get(key, {})
            event_time = asked.reader.event_time(asked.rows[index])
            for position, lookup in plan.lookups:
                if asked.values[index][position] is not msgspec.UNSET:
                    continue
                reason = UNAVAILABLE if found is None else self._reason(asked, lookup, event_time)
                value = None if reason else online.get(lookup.name)
                if value is None:
                    asked.defaulted[index][lookup.name] = reason or ABSENT
                asked.values[index][position] = lookup.default if value is None else value

    def _reason(self, asked: Asked, lookup: Lookup, event_time: datetime) -> str | None:
        """Why what is online of `lookup` may not be used for an event; None when it may."""
        state, pipeline = asked.known.states.get(lookup.view), asked.pipeline
        if state is None or state.known_at is None:
            return UNAVAILABLE
        if state.features.get(lookup.name) != lookup.declared:
            said = f"{lookup.name} is online under another declaration than the champion's"
            self._seen[pipeline, lookup.view] = (self._clock(), said)
            return UNAVAILABLE
        age = (event_time - state.known_at).total_seconds()
        if age < 0:
            return FUTURE
        if lookup.stale_after is not None and age > lookup.stale_after:
            said = f"{lookup.name} was last known at {state.known_at:%Y-%m-%d %H:%M} UTC ({state.partition})"
            self._seen[pipeline, lookup.view] = (self._clock(), said)
            return STALE
        return None

    def _look(self, pipeline: str, known: Known, views: frozenset[str]) -> None:
        """Have the state read again, once in STATE_SECONDS, while no answer waits for it."""
        if pipeline not in self._reading and self._clock() - known.read_at >= STATE_SECONDS:
            task = asyncio.get_running_loop().create_task(self._read_states(pipeline, known, views))
            self._reading[pipeline] = task
            task.add_done_callback(lambda _: self._reading.pop(pipeline, None))

    async def _read_states(self, pipeline: str, known: Known, views: frozenset[str]) -> bool:
        """Read what is online of `views`; False when the store does not answer."""
        try:
            if self._reader is None:
                raise OnlineStoreDown("there is none while a single bundle is served", where="online store")
            known.states = await read_states(self._reader, pipeline, sorted(views))
        except OnlineStoreDown as error:
            self._note(pipeline, known, error)
            return False
        finally:
            known.read_at = self._clock()
        if known.down is not None:
            log.info("%s: the online store answers again", pipeline)
        known.down, known.missing = None, tuple(sorted(views - set(known.states)))
        self._metrics.online_store_up.labels(pipeline).set(1)
        for view, state in known.states.items():
            if state.known_at is not None:
                self._metrics.online_known_at.labels(pipeline, view).set(state.known_at.timestamp())
        return True

    def _note(self, pipeline: str, known: Known, error: OnlineStoreDown) -> None:
        """Remember that the store is down, and say so once."""
        if known.down is None:
            log.error("%s: lookups have their defaults: %s", pipeline, error)
        known.down = str(error)
        known.read_at = self._clock()
        self._metrics.online_store_up.labels(pipeline).set(0)


def _plans(schema: RequestSchema) -> tuple[ViewPlan, ...]:
    """What each view gives, in order of first use."""
    fields = [*schema.columns, *schema.optional]
    positions = {column.name: position for position, column in enumerate(fields)}
    views: dict[str, list[tuple[int, Lookup]]] = {}
    for position, lookup in enumerate(schema.lookups):
        views.setdefault(lookup.view, []).append((position, lookup))
    plans = []
    for name, lookups in views.items():
        by = lookups[0][1].by
        kinds: dict[str, Kind] = {column: fields[positions[column]].kind for column in by}
        entity = tuple(positions[column] for column in by)
        plans.append(ViewPlan(name=name, lookups=tuple(lookups), entity=entity, keys=EntityKeys(kinds)))
    return tuple(plans)


def _wanted(asked: Asked, plan: ViewPlan) -> dict[int, bytes | None]:
    """By index of each row that leaves out a lookup of the view: its entity's key, None where a column is null."""
    wanted: dict[int, bytes | None] = {}
    for index, (row, carried) in enumerate(zip(asked.rows, asked.values, strict=True)):
        if any(carried[position] is msgspec.UNSET for position, _ in plan.lookups):
            entity = _entity(plan, row)
            wanted[index] = None if None in entity else plan.keys.encode(entity)
    return wanted


def _entity(plan: ViewPlan, row: Row) -> list[Any]:
    values = msgspec.structs.astuple(row)
    return [values[position] for position in plan.entity]
