"""Feature store: Feast, generated from declarations; offline on files, online where PERENNIAL_ONLINE_STORE says.

Feast's event timestamp is `known_at`, so that its point-in-time join sees a value from when it was
known. Only the newest known values are online; an entity that has none any more has nulls there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.content import content_hash
from perennial.errors import PerennialError
from perennial.featurization.views import FeatureView
from perennial.stores.online.encoding import STATE_ENTITY, STATE_FEATURE, STATE_VIEW
from perennial.stores.online.feast_repository import FeastRepository, open_repository
from perennial.stores.online.places import place_of
from perennial.stores.online.state import OnlineState

if TYPE_CHECKING:
    import pandas as pd

BATCH_ENTITIES = 5_000
"""Entities in one write: a reader of SQLite waits for none of them, another writer for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A state of the aggregates: at the end of which partition, and since when it was known."""

    partition: str
    known_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Materialized:
    """What one materialization of a view did."""

    state: OnlineState
    """What is online now."""
    written: int = 0
    """Entities whose values were written."""
    removed: int = 0
    """Entities that have no value any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureStore:
    """The feature views of every pipeline."""

    root: Path
    """Folder of the registries and the offline files, in the home."""
    online_url: str

    @property
    def place(self) -> str:
        """Which online store it writes."""
        return place_of(self.online_url, home=self.root.parent)

    def folder(self, view: FeatureView) -> Path:
        """Where the offline files of `view` lie, a Parquet file a partition; another declaration has another."""
        return self.root / view.pipeline / f"{view.name}-{view.hash[:12]}"

    def save_offline(self, view: FeatureView, partition: str, states: pl.DataFrame) -> Path:
        """Keep the rows of `view` at the end of `partition`: entity, features, known_at; equal rows, equal file."""
        columns = [*view.by, *(pl.col(name).cast(pl.Float64) for name in view.features), "known_at"]
        folder = self.folder(view)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{partition}.parquet"
        draft = folder.parent / f".{view.name}-{path.name}"
        states.select(columns).sort("known_at", *view.by).write_parquet(draft)
        draft.replace(path)
        return path

    def read_offline(self, view: FeatureView, partition: str) -> pl.DataFrame:
        """The rows that `save_offline` wrote, the features in the order of today's declaration."""
        rows = pl.read_parquet(self.folder(view) / f"{partition}.parquet")
        return rows.select(*view.by, *view.features, "known_at")

    def offline_partitions(self, view: FeatureView) -> list[str]:
        """The partitions of which `view` has a file, oldest first."""
        return sorted(path.stem for path in self.folder(view).glob("*.parquet"))

    @contextmanager
    def feast(self, views: Sequence[FeatureView]) -> Iterator[Any]:
        """Feast's own `FeatureStore` of `views`, all of one pipeline: what a scientist calls.

        A registry of an older declaration is brought up to date first.
        """
        with self._repository(views) as repository:
            repository.apply()
            yield repository.feast

    def join(self, rows: pl.DataFrame, view: FeatureView, *, at: str) -> pl.DataFrame:
        """`rows` with the features of `view` as known at column `at`, by Feast's point-in-time join.

        Feast 0.67 drops a row whose entity has values later only, and one of two of an entity at one time;
        here each row stays.
        """
        on = [*view.by, "event_timestamp"]
        timed = rows.with_columns(pl.col(at).dt.convert_time_zone("UTC").alias("event_timestamp"))
        asked: pd.DataFrame = timed.select(on).unique(maintain_order=True).to_pandas()
        named = [f"{view.name}:{name}" for name in view.features]
        with self.feast([view]) as feast:
            answer = feast.get_historical_features(entity_df=asked, features=named).to_df()
        found = pl.from_pandas(answer[[*on, *view.features]]).with_columns(
            *(pl.col(name).cast(timed.schema[name]) for name in on),
            *(pl.col(n).cast(pl.Float64) for n in view.features),
        )
        return timed.join(found, on=on, how="left", maintain_order="left").drop("event_timestamp")

    def state(self, view: FeatureView) -> OnlineState | None:
        """What is online of `view`, whoever declared it; None for nothing."""
        with self._repository([view]) as repository:
            return _read_state(repository, view)

    def materialize(self, view: FeatureView, states: pl.DataFrame, newest: Moment, *, at: datetime) -> Materialized:
        """Bring the state `newest` online, which may be one without any entity.

        `states` holds its rows: entity, features, known_at; rows of other states are passed over. An entity that
        is online and not in it gets nulls. Running it again writes nothing. A state that was computed anew is
        written over the one that servers read meanwhile; what came from another declaration is removed before.
        Which state is right to have online is for the caller to say, who keeps others out meanwhile.
        """
        with self._repository([view]) as repository:
            online, listed = _read_state(repository, view), self._listed(view)
            current = _valued(view, states, newest)
            whole = online is not None and _is_whole(online, view)
            if online is not None and whole and _has(online, newest, current):
                return Materialized(state=online)
            if online is None or listed is None or not whole:
                _begin_anew(repository, view, online, at)
                listed = current.select(list(view.by)).clear()
            else:
                repository.apply()
                # who is cut short from here on has not written what this hash says
                _write_state(repository, view, replace(online, content=""), at)
            entities = current.select(list(view.by))
            self._list(view, pl.concat([listed, entities]).unique(maintain_order=True))
            gone = listed.join(entities, on=list(view.by), how="anti")
            _write_values(repository, view, current, gone, newest.known_at)
            state = _state_of(view, current, newest, at)
            _write_state(repository, view, state, at)
            self._list(view, entities)
            return Materialized(state=state, written=current.height, removed=gone.height)

    def _listed(self, view: FeatureView) -> pl.DataFrame | None:
        """The entities that may have values online, which no online store can tell; None when nobody knows."""
        path = self._list_of(view)
        return pl.read_parquet(path) if path.exists() else None

    def _list(self, view: FeatureView, entities: pl.DataFrame) -> None:
        path = self._list_of(view)
        draft = path.with_suffix(".draft")
        entities.write_parquet(draft)
        draft.replace(path)

    def _list_of(self, view: FeatureView) -> Path:
        """Beside the registry; another store or declaration has another, since it holds other entities."""
        store = hashlib.sha256(self.place.encode()).hexdigest()
        return self.root / view.pipeline / f".{view.name}-{view.hash[:12]}-{store[:12]}.online"

    @contextmanager
    def _repository(self, views: Sequence[FeatureView]) -> Iterator[FeastRepository]:
        pipelines = {view.pipeline for view in views}
        if len(pipelines) != 1:
            raise PerennialError("feature views of one pipeline are meant", where="feature store", found=str(pipelines))
        folder = self.root / pipelines.pop()
        folder.mkdir(parents=True, exist_ok=True)
        sources = {view.name: (view, self.folder(view)) for view in views}
        with open_repository(folder, sources, self.online_url) as repository:
            yield repository


def _begin_anew(repository: FeastRepository, view: FeatureView, online: OnlineState | None, at: datetime) -> None:
    """Empty the view, and let the state say that nothing of today's declaration is known."""
    begun = OnlineState(features=dict(view.features))
    if online is not None:  # a server that reads from here on takes nothing for the old meaning
        _write_state(repository, view, begun, at)
    repository.forget(view)
    repository.apply()
    _write_state(repository, view, begun, at)


def _write_values(
    repository: FeastRepository, view: FeatureView, current: pl.DataFrame, gone: pl.DataFrame, known_at: datetime
) -> None:
    """Write the values of `current`, then nulls for the entities that are `gone`."""
    features = list(view.features)
    for rows in (current, gone.with_columns(pl.lit(None, pl.Float64).alias(name) for name in features)):
        for batch in rows.select(*view.by, *features).iter_slices(BATCH_ENTITIES):
            repository.write(view.name, batch, known_at)


def _state_of(view: FeatureView, current: pl.DataFrame, newest: Moment, at: datetime) -> OnlineState:
    return OnlineState(
        features=dict(view.features),
        known_at=newest.known_at,
        partition=newest.partition,
        content=content_hash(current),
        written_at=at,
        entities=current.height,
    )


def _is_whole(online: OnlineState, view: FeatureView) -> bool:
    """Whether what is online was once written to its end, from the declaration of today."""
    return online.known_at is not None and dict(online.features) == dict(view.features)


def _has(online: OnlineState, newest: Moment, current: pl.DataFrame) -> bool:
    """Whether what is online is just the state `newest`."""
    held = (online.partition, online.known_at, online.content)
    return held == (newest.partition, newest.known_at, content_hash(current))


def _valued(view: FeatureView, states: pl.DataFrame, newest: Moment) -> pl.DataFrame:
    """The entities that have a value in the state `newest`, in their order."""
    features = list(view.features)
    rows = states.filter(pl.col("known_at") == newest.known_at, pl.any_horizontal(pl.col(features).is_not_null()))
    rows = rows.select(*view.by, pl.col(features).cast(pl.Float64)).drop_nulls(list(view.by))
    return rows.sort(list(view.by))


def _read_state(repository: FeastRepository, view: FeatureView) -> OnlineState | None:
    text = repository.read(STATE_VIEW, {STATE_ENTITY: view.name}).get(STATE_FEATURE)
    return OnlineState.from_json(text) if isinstance(text, str) else None


def _write_state(repository: FeastRepository, view: FeatureView, state: OnlineState, at: datetime) -> None:
    row: Mapping[str, list[str]] = {STATE_ENTITY: [view.name], STATE_FEATURE: [state.to_json()]}
    repository.write(STATE_VIEW, pl.DataFrame(row), at)
