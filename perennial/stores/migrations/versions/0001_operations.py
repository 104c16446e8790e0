"""The operations database: manifests, versions, routes, an append-only ledger, feedback, alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from perennial.stores.operations.tables import Instant

revision = "0001"
down_revision = None

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    create_manifests()
    create_versions()
    create_ledger()
    create_feedback()
    create_alerts()
    op.create_table("settings", text("key", primary_key=True), text("value"))


def text(name: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable, primary_key=primary_key)


def row_number() -> sa.Column[int]:
    return sa.Column("id", ROW_NUMBER, primary_key=True, autoincrement=True)


def create_manifests() -> None:
    op.create_table(
        "partitions",
        text("pipeline", primary_key=True),
        text("table", primary_key=True),
        text("partition", primary_key=True),
        sa.Column("revision", sa.Integer(), primary_key=True, autoincrement=False),
        text("content_hash"),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        text("status"),
        text("reason", nullable=True),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.Column("table_version", sa.BigInteger()),
        sa.Column("known_at", Instant()),
        sa.Column("written_at", Instant(), nullable=False),
    )


def create_versions() -> None:
    op.create_table(
        "versions",
        text("pipeline", primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        text("bundle_sha256"),
        text("as_of"),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("registered_at", Instant(), nullable=False),
        sa.UniqueConstraint("pipeline", "bundle_sha256", name="versions_bundle"),
    )
    op.create_table(
        "dossiers",
        row_number(),
        text("pipeline"),
        text("bundle_sha256"),
        text("content"),
        sa.Column("after_entry", sa.BigInteger(), nullable=False),
        sa.Column("judged_at", Instant()),
        sqlite_autoincrement=True,
    )
    op.create_index("dossiers_bundle", "dossiers", ["pipeline", "bundle_sha256", "id"])
    op.create_table(
        "routes",
        text("pipeline", primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pipeline", "number"], ["versions.pipeline", "versions.number"], name="routes_version"
        ),
    )


def create_ledger() -> None:
    op.create_table(
        "ledger",
        row_number(),
        sa.Column("at", Instant(), nullable=False),
        text("pipeline"),
        text("kind"),
        text("subject"),
        sa.Column("from_version", sa.Integer()),
        sa.Column("to_version", sa.Integer()),
        text("actor"),
        text("reason"),
        sa.Column("details", sa.JSON(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ledger_kind", "ledger", ["pipeline", "kind", "id"])
    for statement in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRES_GUARDS:
        op.execute(statement)


# INSERT OR REPLACE deletes the old row without a delete trigger, so an id that exists is refused too.
SQLITE_GUARDS = [
    f"CREATE TRIGGER ledger_{name} BEFORE {event} BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    for name, event in {
        "update": "UPDATE ON ledger",
        "delete": "DELETE ON ledger",
        "replace": "INSERT ON ledger WHEN NEW.id IN (SELECT id FROM ledger)",
    }.items()
]
POSTGRES_GUARDS = [
    """
    CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$
    """,
    """
    CREATE TRIGGER ledger_change BEFORE UPDATE OR DELETE ON ledger
    FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only()
    """,
    """
    CREATE TRIGGER ledger_truncate BEFORE TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()
    """,
]


def create_feedback() -> None:
    op.create_table(
        "feedback",
        row_number(),
        text("pipeline"),
        text("prediction_id"),
        text("partition"),
        sa.Column("label", sa.Double(), nullable=False),
        text("source"),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("received_at", Instant(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("feedback_prediction", "feedback", ["pipeline", "prediction_id", "id"])
    op.create_index("feedback_partition", "feedback", ["pipeline", "partition", "id"])
    op.create_index("feedback_arrival", "feedback", ["pipeline", "id"])


def create_alerts() -> None:
    op.create_table(
        "alerts",
        row_number(),
        text("pipeline"),
        text("kind"),
        text("key"),
        text("message"),
        sa.Column("raised_at", Instant(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("closed_at", Instant()),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "alerts_open",
        "alerts",
        ["pipeline", "kind", "key"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
