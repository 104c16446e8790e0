"""Alembic's entry point: upgrades the connection that `Database.migrate` holds, in its transaction."""

from __future__ import annotations

from alembic import context

from perennial.stores.operations.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
