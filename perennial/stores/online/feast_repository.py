"""Feast repository: the views of one pipeline as Feast's objects, its registry and its online store.

Feast 0.67 sends no usage anywhere and has no switch for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl

from perennial.errors import OnlineStoreDown, PerennialError
from perennial.featurization.views import FeatureView
from perennial.schema import Kind
from perennial.stores.online.encoding import STATE_ENTITY, STATE_FEATURE, STATE_VIEW
from perennial.stores.online.places import no_store

HASH = "declaration"
"""Tag of a registered view: the hash of the declaration that it was generated from."""
LONGEST_TABLE = 63
"""Characters of a table's name that Postgres keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeastRepository:
    """Feast's store of one pipeline, opened."""

    feast: Any
    views: Mapping[str, Any]
    """Feast's feature views by name, the state's with them."""
    entities: Mapping[str, Any]

    def apply(self) -> bool:
        """Register what is declared and make its online tables; False when all of it was registered already."""
        registered = {view.name: view.tags.get(HASH) for view in self.feast.list_feature_views(allow_cache=False)}
        if all(registered.get(name) == view.tags[HASH] for name, view in self.views.items()):
            return False
        with _answering():
            self.feast.apply([*self.entities.values(), *self.views.values()])
        if self._type == "sqlite":  # a reader then waits for no writer
            with contextlib.closing(sqlite3.connect(self.feast.config.online_store.path)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        return True

    def forget(self, view: FeatureView) -> None:
        """Remove the online values of `view`, which were made by another declaration."""
        with _answering():
            self._online.update(self.feast.config, [self.views[view.name]], [], [], [], partial=True)
            self._online.update(self.feast.config, [], list(self.views.values()), [], [], partial=True)

    def write(self, view: str, rows: pl.DataFrame, at: datetime) -> None:
        """Replace the online values of the entities of `rows`: the entity's columns, then the features'."""
        if rows.is_empty():
            return
        by = list(self.views[view].join_keys)
        keys = _messages(rows.select(by), by)
        values = _messages(rows.drop(by), None)
        with _answering():
            data = [(key, value, at, None) for key, value in zip(keys, values, strict=True)]
            self._online.online_write_batch(self.feast.config, self.views[view], data, None)

    def read(self, view: str, entity: Mapping[str, str]) -> dict[str, Any]:
        """The online values of one entity named by texts; empty before the first `apply`."""
        (key,) = _messages(pl.DataFrame({name: [value] for name, value in entity.items()}), list(entity))
        try:
            with _answering():
                features = [feature.name for feature in self.views[view].features]
                ((_, found),) = self._online.online_read(self.feast.config, self.views[view], [key], features)
        except OnlineStoreDown as error:
            if any(word in str(error) for word in ("no such table", "does not exist")):
                return {}
            raise
        return {name: getattr(value, value.WhichOneof("val") or "", None) for name, value in (found or {}).items()}

    @property
    def _online(self) -> Any:
        return self.feast.provider.online_store

    @property
    def _type(self) -> str:
        return str(self.feast.config.online_store.type)


@contextmanager
def open_repository(
    folder: Path, sources: Mapping[str, tuple[FeatureView, Path]], online_url: str
) -> Iterator[FeastRepository]:
    """The repository in `folder` of the views in `sources`, each beside the folder of its offline files."""
    feast = _import_feast()
    pipeline = folder.name
    logging.getLogger("feast").setLevel(logging.WARNING)
    online = online_config(online_url)
    for name in (*sources, STATE_VIEW):
        table = f"{pipeline}_{name}_ek"
        if online["type"] == "postgres" and len(table) > LONGEST_TABLE:
            raise PerennialError(
                "the name of an online table is too long for Postgres", where=f"pipeline {pipeline!r}",
                found=table, expected=f"at most {LONGEST_TABLE} characters", hint="give the pipeline a shorter name",
            )  # fmt: skip
    if online["type"] == "sqlite":
        Path(online["path"]).parent.mkdir(parents=True, exist_ok=True)
    config = feast.RepoConfig(
        project=pipeline, provider="local", registry=str(folder / "registry.db"), online_store=online,
        offline_store={"type": "dask"}, entity_key_serialization_version=3,
    )  # fmt: skip
    entities = _entities({column: kind for view, _ in sources.values() for column, kind in view.by.items()})
    views = {name: _feast_view(view, path, entities) for name, (view, path) in sources.items()}
    views[STATE_VIEW] = _state_view(folder, entities[STATE_ENTITY])
    store = feast.FeatureStore(config=config)
    try:
        yield FeastRepository(feast=store, views=views, entities=entities)
    finally:
        _close(store.provider.online_store)


def online_config(url: str) -> dict[str, Any]:
    """Feast's configuration of the online store at `url`."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {"type": "sqlite", "path": url.removeprefix("sqlite:///")}
    if parts.scheme in ("redis", "rediss"):
        options = {"db": parts.path.strip("/") or "0", "socket_timeout": "30", "socket_connect_timeout": "5"}
        options |= {"ssl": "true"} if parts.scheme == "rediss" else {}
        secret = {"username": parts.username, "password": parts.password}
        options |= {name: f'"{unquote(value)}"' for name, value in secret.items() if value}
        address = ",".join([f"{parts.hostname}:{parts.port or 6379}", *(f"{n}={v}" for n, v in options.items())])
        # Feast would keep what Redis holds when a declaration changes the values of one instant
        return {"type": "redis", "connection_string": address, "skip_dedup": True}
    if parts.scheme in ("postgresql", "postgres"):
        (sslmode,) = parse_qs(parts.query).get("sslmode", ["prefer"])
        return {
            "type": "postgres", "host": parts.hostname or "127.0.0.1", "port": parts.port or 5432,
            "database": parts.path.strip("/"), "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""), "sslmode": sslmode,
        }  # fmt: skip
    raise no_store(url)


def _import_feast() -> Any:
    """Feast, without the variables that its import sets: child processes would count into files for them.

    Its classes stay as they are written, as under `python -O`: to check their calls, typeguard would parse and compile
    each of them anew in every process, which takes longer than all the rest of the import.
    """
    import prometheus_client  # noqa: F401 - before Feast sets them, so that this process counts in memory
    import typeguard

    before = set(os.environ)
    with _as_written(typeguard):
        import feast

    for name in ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR"):
        if name not in before:
            os.environ.pop(name, None)
    return feast


@contextmanager
def _as_written(typeguard: Any) -> Iterator[None]:
    """Let what is decorated with `@typechecked` stay the class that it is."""
    decorator = typeguard.typechecked
    typeguard.typechecked = lambda target: target
    try:
        yield
    finally:
        typeguard.typechecked = decorator


def _entities(columns: Mapping[str, Kind]) -> dict[str, Any]:
    import feast

    kinds = {"string": feast.ValueType.STRING, "int32": feast.ValueType.INT32, "int64": feast.ValueType.INT64}
    return {
        name: feast.Entity(name=name, join_keys=[name], value_type=kinds[kind])
        for name, kind in {**columns, STATE_ENTITY: "string"}.items()
    }


def _feast_view(view: FeatureView, folder: Path, entities: Mapping[str, Any]) -> Any:
    import feast
    from feast.types import Float64, Int32, Int64, String

    kinds = {"string": String, "int32": Int32, "int64": Int64}
    return feast.FeatureView(
        name=view.name,
        entities=[entities[column] for column in view.by],
        schema=[
            *(feast.Field(name=column, dtype=kinds[kind]) for column, kind in view.by.items()),
            *(feast.Field(name=name, dtype=Float64) for name in view.features),
        ],
        source=feast.FileSource(name=f"{view.name}_files", path=str(folder), timestamp_field="known_at"),
        ttl=timedelta(0),
        tags={HASH: view.hash},
    )


def _state_view(folder: Path, entity: Any) -> Any:
    import feast
    from feast.types import String

    return feast.FeatureView(
        name=STATE_VIEW,
        entities=[entity],
        schema=[feast.Field(name=STATE_ENTITY, dtype=String), feast.Field(name=STATE_FEATURE, dtype=String)],
        source=feast.FileSource(name="state_files", path=str(folder / "state"), timestamp_field="known_at"),
        ttl=timedelta(0),
        tags={HASH: hashlib.sha256(STATE_VIEW.encode()).hexdigest()},
    )


def _messages(rows: pl.DataFrame, join_keys: list[str] | None) -> Iterator[Any]:
    """Each row as Feast's key of an entity (with `join_keys`), or as its values by name."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    fields = {pl.String: "string_val", pl.Int32: "int32_val", pl.Int64: "int64_val", pl.Float64: "double_val"}
    named = [(name, fields[type(dtype)]) for name, dtype in rows.schema.items()]
    for row in rows.iter_rows():
        values = [
            Value() if value is None else Value(**{field: value}) for (_, field), value in zip(named, row, strict=True)
        ]
        if join_keys is not None:
            yield EntityKey(join_keys=join_keys, entity_values=values)
        else:
            yield dict(zip(rows.columns, values, strict=True))


@contextmanager
def _answering() -> Iterator[None]:
    """Name the online store as the cause of whatever its client raises."""
    import psycopg
    from redis.exceptions import RedisError

    try:
        yield
    except (sqlite3.Error, RedisError, psycopg.Error, OSError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        # the UI shows the innermost error, and the client's own words are in this one
        raise OnlineStoreDown(
            "it does not take or give values", where="online store", found=said,
            hint="is it running where PERENNIAL_ONLINE_STORE says? Then run online_features again",
        ) from None  # fmt: skip


def _close(online: Any) -> None:
    """Close the connections that Feast's stores keep for ever; they have no method for it."""
    for name in ("_conn", "_client"):
        connection = getattr(online, name, None)
        if connection is not None:
            connection.close()
            setattr(online, name, None)
