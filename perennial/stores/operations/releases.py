"""Releases: changes what serves, each time in one transaction with the row of the ledger that says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from perennial.deployment import Refusal, Released, Version, decide_release, decide_rollback
from perennial.promotion.dossier import Dossier
from perennial.stores.operations import tables
from perennial.stores.operations.ledger import append_entry, deployments, last_deployment, rolled_back_after
from perennial.stores.operations.versions import Versions, find_champion, find_version, newest_dossier


class Releases(Versions):
    """Release and rollback."""

    def release(self, pipeline: str, number: int, *, actor: str, reason: str, at: datetime) -> Released | Refusal:
        """Let version `number` serve, if every rule of `decide_release` holds now.

        The rules are read, the route is set and the ledger is written in one transaction, so that of
        two releases at once the second is decided on what the first left. A version that serves
        already is answered as before, and nothing is written. A refusal is a row of the ledger too.
        """
        with self.writing(pipeline) as transaction:
            champion = find_champion(transaction, pipeline)
            if champion is not None and champion.number == number:
                return _released_before(transaction, champion)
            change = _Change(
                transaction=transaction, pipeline=pipeline, champion=champion, actor=actor, reason=reason, at=at
            )
            version = find_version(transaction, pipeline, number)
            if version is None:
                return change.refuse(_unknown(pipeline, number), asked="release", number=number)
            refusal, evidence = _judge(transaction, champion, version)
            if refusal is not None:
                return change.refuse(refusal, asked="release", number=number, evidence=evidence)
            return change.deploy("release", version, evidence=evidence)

    def rollback(
        self, pipeline: str, *, actor: str, reason: str, at: datetime, leaving: int | None = None
    ) -> Version | Refusal:
        """Return to the last version that served well, in one transaction with its row of the ledger.

        `leaving` is the version that the caller wants to leave: when another serves by then, nothing
        changes, so that two people who roll back at once go back one step.
        """
        with self.writing(pipeline) as transaction:
            change = _Change(
                transaction=transaction,
                pipeline=pipeline,
                champion=find_champion(transaction, pipeline),
                actor=actor,
                reason=reason,
                at=at,
            )
            target = decide_rollback(deployments(transaction, pipeline), leaving=leaving)
            if isinstance(target, Refusal):
                return change.refuse(target, asked="rollback", number=None)
            version = find_version(transaction, pipeline, target)
            if version is None:
                raise LookupError(f"{pipeline}: the ledger names version {target}, and no such version is registered")
            return change.deploy("rollback", version).version


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """One request to change what serves, inside its transaction."""

    transaction: sa.Connection
    pipeline: str
    champion: Version | None
    actor: str
    reason: str
    at: datetime

    def deploy(self, kind: str, version: Version, *, evidence: Mapping[str, Any] | None = None) -> Released:
        previous = self.champion.number if self.champion else None
        route = {"number": version.number, "since": self.at}
        dialect = sqlite if self.transaction.dialect.name == "sqlite" else postgresql
        insert = dialect.insert(tables.routes).values(route | {"pipeline": self.pipeline})
        self.transaction.execute(insert.on_conflict_do_update(index_elements=["pipeline"], set_=route))
        entry = append_entry(
            self.transaction,
            at=self.at,
            pipeline=self.pipeline,
            kind=kind,
            subject=f"version {version.number}",
            from_version=previous,
            to_version=version.number,
            actor=self.actor,
            reason=self.reason,
            details={"bundle_sha256": version.bundle_sha256, "as_of": version.as_of, **(evidence or {})},
        )
        return Released(version=version, previous=previous, entry=entry)

    def refuse(
        self, refusal: Refusal, *, asked: str, number: int | None, evidence: Mapping[str, Any] | None = None
    ) -> Refusal:
        append_entry(
            self.transaction,
            at=self.at,
            pipeline=self.pipeline,
            kind="refusal",
            subject=asked if number is None else f"version {number}",
            from_version=self.champion.number if self.champion else None,
            to_version=number,
            actor=self.actor,
            reason=refusal.reason,
            details={"asked": asked, "asked_because": self.reason, "rule": refusal.rule, **(evidence or {})},
        )
        return refusal


def _judge(
    transaction: sa.Connection, champion: Version | None, version: Version
) -> tuple[Refusal | None, dict[str, Any]]:
    """The refusal, if any, and what it rests on, read now."""
    row = newest_dossier(transaction, version.pipeline, version.bundle_sha256)
    dossier = Dossier.from_json(row.content) if row else None
    rolled_back = row is not None and rolled_back_after(
        transaction, version.pipeline, version.number, entry=row.after_entry
    )
    refusal = decide_release(dossier, champion, version, rolled_back=rolled_back)
    gates = {verdict.gate: verdict.outcome for verdict in dossier.verdicts} if dossier else {}
    return refusal, {"dossier": row.id if row else None, "gates": gates}


def _released_before(transaction: sa.Connection, champion: Version) -> Released:
    history = deployments(transaction, champion.pipeline)
    entry = last_deployment(transaction, champion.pipeline)
    return Released(version=champion, previous=history[-1].previous, entry=entry, repeated=True)


def _unknown(pipeline: str, number: int) -> Refusal:
    return Refusal(
        rule="version_is_known", reason=f"{pipeline} has no version {number}: register its bundle before its release"
    )
