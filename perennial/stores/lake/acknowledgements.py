"""Acknowledgements: a person's word that a partition is right although its history blocks it.

It holds for the rows that were looked at, and for no others: trainings read them, and later partitions
are held against them. It stands in the ledger.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from perennial.declaration import Pipeline
from perennial.errors import PerennialError

if TYPE_CHECKING:
    from perennial.stores.lake.tables import Tables
    from perennial.stores.operations import Operations

KIND = "acknowledgement"
"""Of the ledger's rows."""


def acknowledged(operations: Operations, pipeline: Pipeline) -> dict[tuple[str, str], str]:
    """What persons have found right, by partition and content hash of its accepted rows: who, and why."""
    entries = operations.ledger(pipeline.name, limit=None, kind=KIND)
    return {(entry.subject, str(entry.details.get("accepted"))): f"{entry.actor}: {entry.reason}" for entry in entries}


def way_out(pipeline: Pipeline, key: str) -> str:
    """What a person does about a partition that its history blocks."""
    return f"mend the source, or, if it is right: perennial acknowledge {pipeline.name} {key} --why '...'"


def acknowledge(tables: Tables, pipeline: Pipeline, key: str, why: str, *, actor: str, at: datetime) -> str:
    """Let trainings read partition `key` although it does not resemble its history; returns what it was blocked for.

    Raises PerennialError when it is not blocked by its history.
    """
    record = tables.records(pipeline, "summary").get(key)
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
