"""Postgres: the online store of those who run Postgres already."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from perennial.stores.online.encoding import Value, decode_value
from perennial.stores.online.reader import Rows, down

CONNECT_SECONDS = 1
ANSWER_SECONDS = 0.5
"""Above, the store counts as down: the caller's answer must not wait for it."""


class PostgresReader:
    """Asks for a micro-batch in one query, on one connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()

    async def read(self, project: str, view: str, features: Sequence[str], keys: Sequence[bytes]) -> Rows:
        """The `features` of `view` for the entities `keys`."""
        query = sql.SQL(
            "SELECT entity_key, feature_name, value FROM {} WHERE entity_key = ANY(%b) AND feature_name = ANY(%s)"
        ).format(sql.Identifier(f"{project}_{view}"))
        found: dict[bytes, dict[str, Value]] = {}
        try:
            # the wait for one's turn counts: whoever stands behind a question without answer gives up with it
            async with asyncio.timeout(CONNECT_SECONDS if self._connection is None else ANSWER_SECONDS), self._turn:
                cursor = await (await self._open()).execute(query, (list(keys), list(features)))
                rows = await cursor.fetchall()
        except psycopg.errors.UndefinedTable:  # nothing was ever materialized
            return found
        except (psycopg.Error, OSError, TimeoutError) as error:
            await self.close()
            raise down("Postgres", error) from error
        for key, name, value in rows:
            found.setdefault(bytes(key), {})[name] = decode_value(value)
        return found

    async def close(self) -> None:
        """Let the connection go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _open(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=CONNECT_SECONDS
            )
        return self._connection
