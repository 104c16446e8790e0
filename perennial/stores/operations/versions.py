"""Versions: the numbered bundles of each pipeline, what was judged of them, and which serves now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from perennial.deployment import Version
from perennial.evaluation.evidence import plain
from perennial.promotion.dossier import Dossier
from perennial.stores.operations import tables
from perennial.stores.operations.database import Database
from perennial.stores.operations.ledger import last_deployment


class Versions(Database):
    """Dossiers, versions and routes; what serves is changed by `Releases` only."""

    def save_dossier(self, dossier: Dossier, *, at: datetime | None = None) -> None:
        """Keep `dossier` as the newest of its bundle; earlier ones stay. Saving it twice changes nothing."""
        with self.writing(dossier.pipeline) as transaction:
            values = {"content": dossier.to_json(), "after_entry": last_deployment(transaction, dossier.pipeline)}
            newest = newest_dossier(transaction, dossier.pipeline, dossier.bundle_sha256)
            if newest and (newest.content, newest.after_entry) == (values["content"], values["after_entry"]):
                return
            name = {"pipeline": dossier.pipeline, "bundle_sha256": dossier.bundle_sha256}
            transaction.execute(sa.insert(tables.dossiers).values(values | name | {"judged_at": at}))

    def dossier(self, pipeline: str, bundle_sha256: str) -> Dossier | None:
        """The newest dossier of a bundle."""
        with self.reading() as transaction:
            newest = newest_dossier(transaction, pipeline, bundle_sha256)
        return Dossier.from_json(newest.content) if newest else None

    def register_version(
        self, pipeline: str, bundle_sha256: str, as_of: str, attributes: Mapping[str, Any], *, at: datetime
    ) -> int:
        """The number of the version bound to this bundle: the one it has, else the next."""
        table = tables.versions
        with self.writing(pipeline) as transaction:
            of_pipeline = table.c.pipeline == pipeline
            known = transaction.execute(
                sa.select(table.c.number).where(of_pipeline, table.c.bundle_sha256 == bundle_sha256)
            ).scalar()
            if known is not None:
                return int(known)
            number = (transaction.execute(sa.select(sa.func.max(table.c.number)).where(of_pipeline)).scalar() or 0) + 1
            values = {"pipeline": pipeline, "number": number, "bundle_sha256": bundle_sha256, "as_of": as_of}
            transaction.execute(
                sa.insert(table).values(values | {"attributes": plain(attributes), "registered_at": at})
            )
            return int(number)

    def versions(self, pipeline: str) -> list[Version]:
        """Every version of a pipeline, in order of number."""
        query = sa.select(tables.versions).where(tables.versions.c.pipeline == pipeline)
        with self.reading() as transaction:
            return [Version(**row) for row in transaction.execute(query.order_by(tables.versions.c.number)).mappings()]

    def registered_bundles(self) -> set[str]:
        """The sha256 of every bundle that is a version of any pipeline."""
        with self.reading() as transaction:
            return set(transaction.execute(sa.select(tables.versions.c.bundle_sha256)).scalars())

    def version(self, pipeline: str, number: int) -> Version | None:
        """One version, or None when there is none of that number."""
        with self.reading() as transaction:
            return find_version(transaction, pipeline, number)

    def champion(self, pipeline: str) -> Version | None:
        """The version that serves, or None before the first release."""
        with self.reading() as transaction:
            return find_champion(transaction, pipeline)

    def routes(self) -> dict[str, Version]:
        """What serves now, by pipeline: one query, cheap enough to poll."""
        with self.reading() as transaction:
            return {row["pipeline"]: Version(**row) for row in transaction.execute(_serving()).mappings()}


def newest_dossier(transaction: sa.Connection, pipeline: str, bundle_sha256: str) -> sa.Row[Any] | None:
    """The newest row of `dossiers` of a bundle."""
    table = tables.dossiers
    query = sa.select(table).where(table.c.pipeline == pipeline, table.c.bundle_sha256 == bundle_sha256)
    return transaction.execute(query.order_by(table.c.id.desc()).limit(1)).one_or_none()


def find_version(transaction: sa.Connection, pipeline: str, number: int) -> Version | None:
    """One version, read in the caller's transaction."""
    table = tables.versions
    query = sa.select(table).where(table.c.pipeline == pipeline, table.c.number == number)
    row = transaction.execute(query).mappings().one_or_none()
    return Version(**row) if row else None


def find_champion(transaction: sa.Connection, pipeline: str) -> Version | None:
    """The version that serves, read in the caller's transaction."""
    query = _serving().where(tables.routes.c.pipeline == pipeline)
    row = transaction.execute(query).mappings().one_or_none()
    return Version(**row) if row else None


def _serving() -> sa.Select[Any]:
    return sa.select(tables.versions).join_from(tables.routes, tables.versions)
