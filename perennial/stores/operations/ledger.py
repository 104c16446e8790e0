"""Ledger: every decision, why it was made, by whom and when; rows are only ever added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from perennial.deployment import Deployment
from perennial.evaluation.evidence import plain
from perennial.stores.operations import tables
from perennial.stores.operations.database import Database

DEPLOYMENTS = ("release", "rollback")
"""Kinds of rows that change what serves; only `Operations.release` and `.rollback` write them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One decision."""

    id: int
    at: datetime
    pipeline: str
    kind: str
    """`release`, `rollback`, `refusal`, `retraining`, `not_now`, or a word of the caller's."""
    subject: str
    """What it is about: a version, an as-of key."""
    from_version: int | None
    """Version that served when it was made."""
    to_version: int | None
    """Version that serves since, or that a refusal kept from serving."""
    actor: str
    reason: str
    details: Mapping[str, Any]


class Ledger(Database):
    """The decisions of every pipeline."""

    def append_decision(
        self,
        pipeline: str,
        kind: str,
        subject: str,
        reason: str,
        details: Mapping[str, Any] | None = None,
        *,
        at: datetime,
        actor: str = "perennial",
    ) -> bool:
        """Append a decision that changes no route; False when the newest of its kind says the same.

        A sensor that comes to the same answer at every tick so writes it once.
        """
        if kind in DEPLOYMENTS:
            raise ValueError(f"{pipeline}: a row of kind {kind!r} is written by Operations.{kind} only")
        said = {"subject": subject, "reason": reason, "details": plain(details or {})}
        with self.writing(pipeline) as transaction:
            query = _entries(pipeline, kind).order_by(tables.ledger.c.id.desc()).limit(1)
            newest = transaction.execute(query).mappings().one_or_none()
            if newest and {name: newest[name] for name in said} == said:
                return False
            append_entry(transaction, at=at, pipeline=pipeline, kind=kind, actor=actor, **said)
            return True

    def ledger(
        self, pipeline: str | None = None, limit: int | None = 100, kind: str | None = None
    ) -> list[LedgerEntry]:
        """The newest `limit` decisions, all when None, newest first, of every pipeline and kind unless told."""
        query = _entries(pipeline, *([kind] if kind else [])).order_by(tables.ledger.c.id.desc()).limit(limit)
        with self.reading() as transaction:
            return [LedgerEntry(**row) for row in transaction.execute(query).mappings()]


def append_entry(transaction: sa.Connection, **values: Any) -> int:
    """Add one row in the caller's transaction and return its id."""
    insert = sa.insert(tables.ledger).values(values).returning(tables.ledger.c.id)
    return int(transaction.execute(insert).scalar_one())


def deployments(transaction: sa.Connection, pipeline: str) -> list[Deployment]:
    """Every change of what serves, oldest first."""
    rows = transaction.execute(_entries(pipeline, *DEPLOYMENTS).order_by(tables.ledger.c.id))
    return [Deployment(kind=row.kind, version=row.to_version, previous=row.from_version) for row in rows]


def last_deployment(transaction: sa.Connection, pipeline: str) -> int:
    """Id of the row that made serve what serves now, or 0."""
    newest = _entries(pipeline, *DEPLOYMENTS).with_only_columns(sa.func.max(tables.ledger.c.id))
    return int(transaction.execute(newest).scalar() or 0)


def rolled_back_after(transaction: sa.Connection, pipeline: str, number: int, *, entry: int) -> bool:
    """Whether version `number` was rolled back from after row `entry`."""
    query = _entries(pipeline, "rollback").where(tables.ledger.c.from_version == number, tables.ledger.c.id > entry)
    return transaction.execute(query.limit(1)).first() is not None


def _entries(pipeline: str | None, *kinds: str) -> sa.Select[Any]:
    query = sa.select(tables.ledger)
    if pipeline is not None:
        query = query.where(tables.ledger.c.pipeline == pipeline)
    return query.where(tables.ledger.c.kind.in_(kinds)) if kinds else query
