"""Tables: what the operations database holds, as the newest migration leaves it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

REVISION = "0001"
"""The newest migration, so that a database already there is recognised without Alembic."""


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware instant, kept and given back in UTC; a naive one is refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"found the naive time {value.isoformat()}, expected one with a timezone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


metadata = sa.MetaData()


def _row_number() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON(), nullable=False)


def _text(name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), **({"nullable": False} | options))


partitions = sa.Table(
    "partitions",
    metadata,
    _text("pipeline", primary_key=True),
    _text("table", primary_key=True),
    _text("partition", primary_key=True),
    sa.Column("revision", sa.Integer(), primary_key=True, autoincrement=False),
    _text("content_hash"),
    sa.Column("rows", sa.BigInteger(), nullable=False),
    _text("status"),
    _text("reason", nullable=True),
    _json("inputs"),
    _json("provenance"),
    sa.Column("table_version", sa.BigInteger()),
    sa.Column("known_at", Instant()),
    sa.Column("written_at", Instant(), nullable=False),
)

versions = sa.Table(
    "versions",
    metadata,
    _text("pipeline", primary_key=True),
    sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
    _text("bundle_sha256"),
    _text("as_of"),
    _json("attributes"),
    sa.Column("registered_at", Instant(), nullable=False),
    sa.UniqueConstraint("pipeline", "bundle_sha256", name="versions_bundle"),
)

dossiers = sa.Table(
    "dossiers",
    metadata,
    _row_number(),
    _text("pipeline"),
    _text("bundle_sha256"),
    _text("content"),
    sa.Column("after_entry", sa.BigInteger(), nullable=False),
    sa.Column("judged_at", Instant()),
    sa.Index("dossiers_bundle", "pipeline", "bundle_sha256", "id"),
    sqlite_autoincrement=True,
)
"""Every dossier of a bundle, newest last; `after_entry` is the newest deployment when it was saved."""

routes = sa.Table(
    "routes",
    metadata,
    _text("pipeline", primary_key=True),
    sa.Column("number", sa.Integer(), nullable=False),
    sa.Column("since", Instant(), nullable=False),
    sa.ForeignKeyConstraint(["pipeline", "number"], ["versions.pipeline", "versions.number"], name="routes_version"),
)

ledger = sa.Table(
    "ledger",
    metadata,
    _row_number(),
    sa.Column("at", Instant(), nullable=False),
    _text("pipeline"),
    _text("kind"),
    _text("subject"),
    sa.Column("from_version", sa.Integer()),
    sa.Column("to_version", sa.Integer()),
    _text("actor"),
    _text("reason"),
    _json("details"),
    sa.Index("ledger_kind", "pipeline", "kind", "id"),
    sqlite_autoincrement=True,
)
"""Append-only: triggers refuse to change or delete a row."""

feedback = sa.Table(
    "feedback",
    metadata,
    _row_number(),
    _text("pipeline"),
    _text("prediction_id"),
    _text("partition"),
    sa.Column("label", sa.Double(), nullable=False),
    _text("source"),
    sa.Column("confidence", sa.Double(), nullable=False),
    sa.Column("received_at", Instant(), nullable=False),
    sa.Index("feedback_prediction", "pipeline", "prediction_id", "id"),
    sa.Index("feedback_partition", "pipeline", "partition", "id"),
    sa.Index("feedback_arrival", "pipeline", "id"),
    sqlite_autoincrement=True,
)
"""Every outcome that clients sent; the newest of a prediction counts."""

alerts = sa.Table(
    "alerts",
    metadata,
    _row_number(),
    _text("pipeline"),
    _text("kind"),
    _text("key"),
    _text("message"),
    sa.Column("raised_at", Instant(), nullable=False),
    sa.Column("seen_at", Instant(), nullable=False),
    sa.Column("times", sa.Integer(), nullable=False),
    sa.Column("closed_at", Instant()),
    sa.Index(
        "alerts_open",
        "pipeline",
        "kind",
        "key",
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    ),
    sqlite_autoincrement=True,
)
"""At most one open alert of a pipeline, kind and key."""

settings = sa.Table("settings", metadata, _text("key", primary_key=True), _text("value"))
