"""Summaries: what was thought of each partition, and which of them no training may read.

A partition that is blocked by its history stays out of training sets until its source is mended, or until
a person has looked and says that it is right; that word holds for the rows that were looked at, and for
no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from perennial.declaration import Pipeline
from perennial.errors import PartitionBlocked, PerennialError
from perennial.graph.records import PartitionRecord
from perennial.ingestion.arrivals import fingerprint
from perennial.stores.lake.tables import Tables
from perennial.validation.seasons.judgement import Judgement, history_of

TABLE = "summary"
KIND = "acknowledgement"
"""Of the ledger's rows."""
TOLD = 20
"""Culprits that the manifest keeps of a partition."""

Acknowledged = frozenset[tuple[str, str]]
"""Partition and content hash of the accepted rows that a person has looked at."""


def provenance_of(judgement: Judgement, accepted: Mapping[str, str]) -> dict[str, Any]:
    """What the manifest keeps of a verdict; `accepted` are the content hashes of the rows of its history."""
    read = {key: accepted[key] for key in judgement.history}
    return {
        "verdict": judgement.verdict,
        "reason": judgement.reason,
        "culprits": [asdict(culprit) for culprit in judgement.culprits[:TOLD]],
        "history": {"partitions": list(judgement.history), "digest": fingerprint(read)},
    }


def acknowledged(tables: Tables, pipeline: Pipeline) -> Acknowledged:
    """What persons have looked at and found right."""
    entries = tables.operations.ledger(pipeline.name, limit=None, kind=KIND)
    return frozenset((entry.subject, str(entry.details.get("accepted"))) for entry in entries)


def acknowledge(tables: Tables, pipeline: Pipeline, key: str, why: str, *, actor: str, at: datetime) -> str:
    """Let trainings read partition `key` although it does not resemble its history; returns what it was blocked for.

    Raises PerennialError when it is not blocked by its history.
    """
    record = tables.records(pipeline, TABLE).get(key)
    if record is None or record.provenance.get("verdict") != "block":
        raise PerennialError(
            "there is nothing to acknowledge",
            where=f"{pipeline.name} {key}",
            found="no summary" if record is None else f"verdict {record.provenance.get('verdict')}",
            expected="a partition that its history blocks",
        )
    details = {"accepted": record.inputs["accepted"], "blocked for": record.provenance["reason"]}
    tables.operations.append_decision(pipeline.name, KIND, key, why, details, at=at, actor=actor)
    return str(record.provenance["reason"])


def is_unfit(record: PartitionRecord, known: Acknowledged) -> bool:
    """Whether its history blocks the partition of `record`, and nobody has said that it is right."""
    blocked = record.provenance.get("verdict") == "block"
    return blocked and (record.partition, record.inputs.get("accepted")) not in known


def history_before(tables: Tables, pipeline: Pipeline, key: str) -> dict[str, PartitionRecord]:
    """The summaries that partition `key` may be held against, oldest first: those that are fit for training."""
    known = acknowledged(tables, pipeline)
    records = tables.records(pipeline, TABLE)
    fit = [k for k in sorted(records) if k < key and records[k].status == "ok" and not is_unfit(records[k], known)]
    return {k: records[k] for k in fit[-history_of(pipeline.seasons, pipeline.time) :]}


def unfit(tables: Tables, pipeline: Pipeline, revisions: Mapping[str, int]) -> dict[str, str]:
    """Why the history of each of the partitions, in the given revision, keeps it out of training.

    Of one without a summary nothing is said here: a training refuses it as out of date (`LEARNED_FROM`).
    """
    history, known = tables.history(pipeline, TABLE), acknowledged(tables, pipeline)
    found = {key: history.get(key, {}).get(revision) for key, revision in revisions.items()}
    return {
        key: f"summary blocks it: {record.provenance['reason']}"
        for key, record in found.items()
        if record is not None and is_unfit(record, known)
    }


def refuse_unfit(tables: Tables, pipeline: Pipeline, revisions: Mapping[str, int]) -> None:
    """Raise PartitionBlocked for the first partition of a window that does not resemble its history."""
    for key, reason in sorted(unfit(tables, pipeline, revisions).items()):
        raise PartitionBlocked(
            reason,
            where=f"{pipeline.name} {key}",
            expected="a partition that resembles its history",
            hint=f"mend the source, or, if it is right: perennial acknowledge {pipeline.name} {key} --why '...'",
        )


def asks_for_retraining(record: PartitionRecord) -> bool | None:
    """Whether the verdict on a partition asks for a new model; None of one that is blocked or not judged."""
    verdict = record.provenance.get("verdict")
    return None if verdict in (None, "block") or record.status != "ok" else verdict == "retrain"
