"""Reader: what every online store answers to, and which one an address names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from perennial.errors import OnlineStoreDown
from perennial.stores.online.encoding import STATE_ENTITY, STATE_FEATURE, STATE_VIEW, EntityKeys, Value
from perennial.stores.online.places import no_store
from perennial.stores.online.state import OnlineState

Rows = Mapping[bytes, Mapping[str, Value]]
"""By an entity's key: the features that it has; an entity that was never written is not there."""


class OnlineReader(Protocol):
    """An online store that a server reads; every method raises OnlineStoreDown when it does not answer."""

    async def read(self, project: str, view: str, features: Sequence[str], keys: Sequence[bytes]) -> Rows:
        """The `features` of `view` for the entities `keys`, in one question."""

    async def close(self) -> None:
        """Let the connection go."""


def open_reader(url: str) -> OnlineReader:
    """The store at `url`: sqlite:///FILE, redis://HOST:PORT/DB or postgresql://USER@HOST/DB; connects when asked."""
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        from perennial.stores.online.sqlite import SqliteReader

        return SqliteReader(url.removeprefix("sqlite:///"))
    if scheme in ("redis", "rediss"):
        from perennial.stores.online.redis import RedisReader

        return RedisReader(url)
    if scheme in ("postgresql", "postgres"):
        from perennial.stores.online.postgres import PostgresReader

        return PostgresReader(url)
    raise no_store(url)


async def read_states(reader: OnlineReader, project: str, views: Sequence[str]) -> dict[str, OnlineState]:
    """What is online of each of `views`; one of which nothing is online is not there."""
    keys = EntityKeys({STATE_ENTITY: "string"})
    encoded = {name: keys.encode([name]) for name in views}
    rows = await reader.read(project, STATE_VIEW, [STATE_FEATURE], list(encoded.values()))
    states = {}
    for name, key in encoded.items():
        text = rows.get(key, {}).get(STATE_FEATURE)
        if isinstance(text, str):
            states[name] = OnlineState.from_json(text)
    return states


def down(store: str, error: BaseException) -> OnlineStoreDown:
    """The one error for whatever a store's client raises; an address, which may hold a password, is not repeated."""
    said = (str(error).splitlines() or [""])[0][:200]
    return OnlineStoreDown("it does not answer", where=f"online store ({store})", found=said or type(error).__name__)
