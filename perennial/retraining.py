"""Retraining: whether the evidence justifies training a challenger now.

Pure: the caller passes what is known and the policy. Triggers are votes, and any veto outweighs them;
each sentence gives its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from perennial.policies import KofN, Retraining


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """The end of a partition, as which a training set can be cut."""

    key: str
    """Key of the last partition of its window."""
    instant: datetime
    """When that partition is complete: `Calendar.known_at`."""
    evidence: str = ""
    """Hash of what a training would read: two trainings of one key and one evidence give one model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """What serves, as far as retraining asks."""

    version: int
    as_of: AsOf
    training_labels: int
    """Labels in its training set, all splits."""
    known_labels: int
    """Labels of every readable partition up to its as-of: `Tables.labels_until`."""
    learned_until: datetime | None = None
    """End of the last partition of its training windows; its as-of instant when None."""
    window_end: str | None = None
    """Key of that partition; its as-of when None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftVerdict:
    """Whether one monitoring partition drifted; one with too few rows to tell has no verdict."""

    partition: str
    start: datetime
    """It counts against a champion when it starts at `learned_until` or later."""
    drifted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of one pipeline when the question is asked."""

    newest: AsOf | None
    """The newest as-of whose partition is complete, or None before the first."""
    history: int
    """Complete partitions up to `newest`, no further back than the pipeline's start."""
    history_needed: int
    """Partitions that one training reads: `Windows.length`."""
    blocked: Sequence[str] = ()
    """Partitions of the window of `newest` that are missing or blocked."""
    known_labels: int = 0
    """Labels of every readable partition up to `newest`: `Tables.labels_until`."""
    champion: Champion | None = None
    """What serves, or None when nothing does."""
    drift: Sequence[DriftVerdict] = ()
    """Verdicts of recent monitoring partitions, oldest first."""
    value_skew: Sequence[DriftVerdict] = ()
    """Whether the history of each data partition asks for a new model, oldest first; none of one that is blocked."""
    last_trained: AsOf | None = None
    """The newest as-of trained to its dossier, released or not; a run that died before does not count."""
    scheduled: bool = False
    """True when the schedule's tick asks: reason enough to train what is not trained yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """Train `as_of` now."""

    as_of: str
    triggers: tuple[str, ...]
    """Those that asked: `schedule`, `new_labels`, `drift`, `value_skew`."""
    reasons: tuple[str, ...]
    """A sentence a trigger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotNow:
    """Do not train; at least one reason, vetoes first, then what each trigger says."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vote:
    trigger: str
    asks: bool
    reason: str


def decide_retraining(evidence: Evidence, policy: Retraining) -> Train | NotNow:
    """Train the newest complete as-of when a trigger asks for it and nothing speaks against it."""
    if evidence.newest is None:
        return NotNow(reasons=("history: 0 partitions are complete yet",))
    vetoes = _vetoes(evidence, evidence.newest, policy)
    votes = _votes(evidence, policy)
    asking = [vote for vote in votes if vote.asks]
    if asking and not vetoes:
        return Train(
            as_of=evidence.newest.key,
            triggers=tuple(vote.trigger for vote in asking),
            reasons=tuple(vote.reason for vote in asking),
        )
    return NotNow(reasons=(*vetoes, *(vote.reason for vote in votes)))


def _vetoes(evidence: Evidence, newest: AsOf, policy: Retraining) -> list[str]:
    found = []
    if evidence.history < evidence.history_needed:
        found.append(f"history: {evidence.history} complete partitions, needs {evidence.history_needed}")
    if evidence.blocked:
        found.append(f"window: {len(evidence.blocked)} partitions missing or blocked ({_listed(evidence.blocked)})")
    last, champion = evidence.last_trained, evidence.champion
    if champion is not None and newest.instant < champion.as_of.instant:
        found.append(f"as of: {newest.key} is older than {champion.as_of.key} of version {champion.version}")
    trained = [(as_of.key, as_of.evidence) for as_of in (last, champion and champion.as_of) if as_of]
    if (newest.key, newest.evidence) in trained:
        found.append(f"as of: {newest.key} was trained on the same evidence")
    elif last is not None and newest.instant < last.instant:
        found.append(f"as of: {newest.key} is older than {last.key}, which was trained")
    elif last is not None and newest.instant < last.instant + policy.cooldown:
        found.append(
            f"cooling down: {newest.key} lies {_days(newest.instant - last.instant)} after {last.key},"
            f" which was trained; needs {_days(policy.cooldown)}"
        )
    return found


def _votes(evidence: Evidence, policy: Retraining) -> list[_Vote]:
    votes = []
    if evidence.scheduled and policy.schedule is not None:
        votes.append(_Vote(trigger="schedule", asks=True, reason=f"schedule: '{policy.schedule}' came round"))
    if policy.new_labels is not None:
        votes.append(_vote_on_labels(evidence, policy.new_labels))
    if policy.drift is not None:
        votes.append(_vote_on("drift", evidence.drift, evidence.champion, policy.drift))
        if evidence.value_skew:
            votes.append(_vote_on("value_skew", evidence.value_skew, evidence.champion, policy.drift))
    if not votes:
        votes.append(_Vote(trigger="none", asks=False, reason="triggers: 0 of new labels and drift are declared"))
    return votes


def _vote_on_labels(evidence: Evidence, share: float) -> _Vote:
    champion = evidence.champion
    if champion is None:
        reason = f"new labels: {evidence.known_labels:,} known, and nothing serves yet"
        return _Vote(trigger="new_labels", asks=evidence.known_labels > 0, reason=reason)
    new = evidence.known_labels - champion.known_labels
    needed = max(1, math.ceil(round(share * champion.training_labels, 6)))
    reason = (
        f"new labels: {new:,} since version {champion.version}, needs {needed:,}"
        f" ({100 * share:g} % of {champion.training_labels:,})"
    )
    return _Vote(trigger="new_labels", asks=new >= needed, reason=reason)


def _vote_on(trigger: str, verdicts: Sequence[DriftVerdict], champion: Champion | None, rule: KofN) -> _Vote:
    """`rule.k` of the last `rule.n` partitions that the champion has not learned from say that the world has moved."""
    name = trigger.replace("_", " ")
    if champion is None:
        return _Vote(trigger=trigger, asks=False, reason=f"{name}: 0 partitions count, nothing serves yet")
    until = champion.learned_until or champion.as_of.instant
    since = [verdict for verdict in verdicts if verdict.start >= until]
    last = since[-rule.n :]
    drifted = [verdict.partition for verdict in last if verdict.drifted]
    reason = (
        f"{name}: {len(drifted)} of the last {len(last)} partitions after {champion.window_end or champion.as_of.key}"
        f"{f' ({_listed(drifted)})' if drifted else ''}, needs {rule.k} of {rule.n}"
    )
    return _Vote(trigger=trigger, asks=len(drifted) >= rule.k, reason=reason)


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):.3g} days"


def _listed(keys: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return ", ".join(keys[:limit]) + more
