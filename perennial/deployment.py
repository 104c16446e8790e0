"""Deployment: whether a version may serve, and where a rollback leads.

Pure: the caller reads the dossier, the champion and the history in the same transaction in which it
writes the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from perennial.promotion.dossier import Dossier


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A number per pipeline, bound to one bundle."""

    pipeline: str
    number: int
    bundle_sha256: str
    as_of: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    registered_at: datetime

    @property
    def window_end(self) -> str:
        """Key of the last partition of its training windows: long before its as-of where labels mature late."""
        return str(self.attributes["windows"]["test"][-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """`version` serves."""

    version: Version
    previous: int | None
    """Version that served before it, or None when none did."""
    entry: int
    """Row of the ledger that says so."""
    repeated: bool = False
    """True when it served already, and this call changed and wrote nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a release or a rollback does not happen: a decision, not an error."""

    rule: Literal[
        "version_is_known",
        "dossier_exists",
        "gates_passed",
        "champion_is_the_judged_one",
        "as_of_is_not_older",
        "not_rolled_back_since_judged",
        "rollback_leaves_the_champion",
        "rollback_has_a_target",
    ]
    """The rule that was not met."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One change of what serves, as the ledger tells it."""

    kind: Literal["release", "rollback"]
    version: int
    previous: int | None


def decide_release(
    dossier: Dossier | None, champion: Version | None, version: Version, *, rolled_back: bool = False
) -> Refusal | None:
    """None when `version` may replace `champion`, else the first rule that it does not meet.

    `rolled_back` says that the version served after it was judged and was rolled back from: what
    production showed is not in its dossier.
    """
    name = f"version {version.number}"
    if dossier is None or (dossier.pipeline, dossier.bundle_sha256) != (version.pipeline, version.bundle_sha256):
        found = "no dossier" if dossier is None else f"a dossier of bundle {dossier.bundle_sha256[:12]}"
        return Refusal(
            rule="dossier_exists",
            reason=f"{name}: found {found}, expected one for its own bundle {version.bundle_sha256[:12]}",
        )
    if not dossier.passed:
        return Refusal(rule="gates_passed", reason=f"{name}: {_gates(dossier)}")
    if dossier.champion != (champion.number if champion else None):
        return Refusal(
            rule="champion_is_the_judged_one",
            reason=f"{name} was judged against {_named(dossier.champion)}, and now {_serves(champion)}: judge it again",
        )
    if champion is not None and version.as_of < champion.as_of:
        return Refusal(
            rule="as_of_is_not_older",
            reason=f"{name} is as of {version.as_of}, and version {champion.number} serves as of {champion.as_of}",
        )
    if rolled_back:
        return Refusal(
            rule="not_rolled_back_since_judged",
            reason=f"{name} was rolled back from since it was judged: judge it again, or train another",
        )
    return None


def decide_rollback(history: Sequence[Deployment], *, leaving: int | None = None) -> int | Refusal:
    """The version to return to: the last that served before the current one and was never rolled back from.

    `history` is every deployment of the pipeline, oldest first; `leaving` the version that the caller
    believes to serve, if it matters.
    """
    if not history:
        return Refusal(rule="rollback_has_a_target", reason="no version ever served: 0 deployments in the ledger")
    current = history[-1].version
    if leaving not in {None, current}:
        return Refusal(
            rule="rollback_leaves_the_champion",
            reason=f"version {leaving} was to be left, and version {current} serves now",
        )
    failed = {change.previous for change in history if change.kind == "rollback"} | {current}
    served = [change.version for change in history if change.version not in failed]
    if not served:
        return Refusal(
            rule="rollback_has_a_target",
            reason=f"version {current} serves, and before it served none that was not rolled back from",
        )
    return served[-1]


def _gates(dossier: Dossier) -> str:
    if not dossier.verdicts:
        return "its dossier holds no verdict at all"
    refused = "; ".join(f"{verdict.gate} {verdict.outcome}: {verdict.reason}" for verdict in dossier.refused)
    return f"{len(dossier.refused)} of {len(dossier.verdicts)} gates did not pass ({refused})"


def _named(number: int | None) -> str:
    return "no champion" if number is None else f"version {number}"


def _serves(champion: Version | None) -> str:
    return "nothing serves" if champion is None else f"version {champion.number} serves"
