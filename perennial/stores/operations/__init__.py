"""Operations: versions, routes, the ledger, manifests, feedback and alerts in one SQL database.

Server, daemon and command line share it: every method opens a transaction of its own, and writers of
a pipeline wait for each other.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from perennial.stores.operations import tables
from perennial.stores.operations.alerts import Alert, Alerts
from perennial.stores.operations.feedback import Feedback, Outcome
from perennial.stores.operations.ledger import Ledger, LedgerEntry
from perennial.stores.operations.manifests import Manifests
from perennial.stores.operations.releases import Releases

__all__ = ["Alert", "LedgerEntry", "Operations", "Outcome"]


class Operations(Manifests, Releases, Ledger, Feedback, Alerts):
    """The operations database at an SQLAlchemy address: `sqlite:///…/operations.db`, or Postgres."""

    def secret(self) -> bytes:
        """The key that signs prediction ids: made once, the same for every process."""
        table = tables.settings
        query = sa.select(table.c.value).where(table.c.key == "secret")
        with self.reading() as transaction:
            value = transaction.execute(query).scalar()
        if value is None:
            with self.writing("settings") as transaction:
                value = transaction.execute(query).scalar()
                if value is None:
                    value = secrets.token_hex(32)
                    transaction.execute(sa.insert(table).values(key="secret", value=value))
        return bytes.fromhex(value)
