"""Redis: the online store of many servers; a hash an entity, a field a feature."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import mmh3
import redis.asyncio
from redis.exceptions import RedisError

from perennial.stores.online.encoding import Value, decode_value
from perennial.stores.online.reader import Rows, down

CONNECT_SECONDS = 0.2
ANSWER_SECONDS = 0.2
"""Above, the store counts as down: the caller's answer must not wait for it."""


class RedisReader:
    """Asks for a micro-batch in one round trip."""

    def __init__(self, url: str) -> None:
        self._client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
            url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=ANSWER_SECONDS
        )

    async def read(self, project: str, view: str, features: Sequence[str], keys: Sequence[bytes]) -> Rows:
        """The `features` of `view` for the entities `keys`."""
        fields = [*(_field(view, name) for name in features), f"_ts:{view}".encode()]
        suffix = project.encode()
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hmget(key + suffix, fields)
                answers = await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise down("Redis", error) from error
        found: dict[bytes, dict[str, Value]] = {}
        for key, (*values, written) in zip(keys, answers, strict=True):
            if written is not None:
                found[key] = {name: decode_value(value) for name, value in zip(features, values, strict=True)}
        return found

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.aclose()


@lru_cache(1024)
def _field(view: str, feature: str) -> bytes:
    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))
