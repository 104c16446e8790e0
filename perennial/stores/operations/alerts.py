"""Alerts: what a person should look at, raised once however often it is seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from perennial.stores.operations import tables
from perennial.stores.operations.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that went wrong and is not settled yet."""

    pipeline: str
    kind: str
    """`failed_run`, `drift`, or another word of the caller's."""
    key: str
    """What it is about; together with pipeline and kind its identity while it is open."""
    message: str
    raised_at: datetime
    seen_at: datetime
    times: int
    """How often it was raised since it was opened."""


class Alerts(Database):
    """Open and closed alerts."""

    def raise_alert(self, pipeline: str, kind: str, key: str, message: str, *, at: datetime) -> bool:
        """Open an alert; True when it is new. One that is open is counted, with the newest message."""
        table = tables.alerts
        seen = {"message": message, "seen_at": at}
        with self.writing(pipeline) as transaction:
            again = sa.update(table).where(*_is(pipeline, kind, key)).values(seen | {"times": table.c.times + 1})
            if transaction.execute(again).rowcount:
                return False
            name = {"pipeline": pipeline, "kind": kind, "key": key}
            transaction.execute(sa.insert(table).values(name | seen | {"raised_at": at, "times": 1}))
            return True

    def close_alert(self, pipeline: str, kind: str, key: str, *, at: datetime) -> bool:
        """Close an alert; False when it was not open."""
        with self.writing(pipeline) as transaction:
            close = sa.update(tables.alerts).where(*_is(pipeline, kind, key)).values(closed_at=at)
            return bool(transaction.execute(close).rowcount)

    def open_alerts(self, pipeline: str | None = None) -> list[Alert]:
        """The alerts that nobody has closed, oldest first, of every pipeline unless told."""
        table = tables.alerts
        query = sa.select(*(table.c[name] for name in Alert.__dataclass_fields__)).where(table.c.closed_at.is_(None))
        if pipeline is not None:
            query = query.where(table.c.pipeline == pipeline)
        with self.reading() as transaction:
            return [Alert(**row) for row in transaction.execute(query.order_by(table.c.id)).mappings()]


def _is(pipeline: str, kind: str, key: str) -> tuple[sa.ColumnElement[bool], ...]:
    table = tables.alerts
    return table.c.pipeline == pipeline, table.c.kind == kind, table.c.key == key, table.c.closed_at.is_(None)
