"""Summaries: what was thought of each partition, and which of them no training may read.

A partition that is blocked by its history stays out of training sets until its source is mended, or until
a person has looked and says that it is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

from perennial.declaration import Pipeline
from perennial.errors import PartitionBlocked
from perennial.graph.lineage import Standing, digest
from perennial.graph.records import PartitionRecord
from perennial.stores.lake.acknowledgements import acknowledged, way_out
from perennial.stores.lake.tables import Outcome, Tables, derived
from perennial.validation.seasons.judgement import Judgement
from perennial.validation.seasons.lineage import BEFORE, is_unfit

TABLE = "summary"
CULPRITS_KEPT = 20
"""Culprits that the manifest keeps of a partition."""


def is_summarized(standing: Standing, accepted: PartitionRecord, *, again: bool) -> bool:
    """Whether the statistics of a partition stand, so that only the verdict is to be given.

    `again`: what is up to date is to be made again, as one asks who materializes it.
    """
    key, revision = accepted.partition, accepted.revision
    if standing.waits_for_others(TABLE, key, revision):
        return True
    return not again and standing.problem_with(TABLE, key, revision) is None


def unjudged(standing: Standing, accepted: PartitionRecord) -> Outcome:
    """The outcome of a partition whose statistics were taken anew; of the same rows a verdict holds until the next."""
    outcome = derived(standing.pipeline, TABLE, accepted)
    before = standing.history(TABLE).get(accepted.partition, {}).get(accepted.revision)
    made_from = {name: hashed for name, hashed in outcome.inputs.items() if name != BEFORE}
    if before is None or before.status != "ok" or not made_from.items() <= before.inputs.items():
        return replace(outcome, inputs=made_from)
    return replace(outcome, inputs=before.inputs, provenance=before.provenance)


def judged(record: PartitionRecord, judgement: Judgement, history: Mapping[str, str]) -> PartitionRecord:
    """`record` with the verdict on it; `history` are the content hashes of the summaries it was held against."""
    return replace(
        record,
        inputs={**record.inputs, BEFORE: digest(history)},
        provenance={
            "verdict": judgement.verdict,
            "reason": judgement.reason,
            "culprits": [asdict(culprit) for culprit in judgement.culprits[:CULPRITS_KEPT]],
            "history": list(history),
        },
    )


def unfit(tables: Tables, pipeline: Pipeline, revisions: Mapping[str, int]) -> dict[str, str]:
    """Why the history of each of the partitions, in the given revision, keeps it out of training.

    Of one without a summary nothing is said here: a training refuses it as out of date (`LEARNED_FROM`).
    """
    history, known = tables.history(pipeline, TABLE), acknowledged(tables.operations, pipeline)
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
            hint=way_out(pipeline, key),
        )


def asks_for_retraining(record: PartitionRecord) -> bool | None:
    """Whether the verdict on a partition asks for a new model; None of one that is blocked or not judged."""
    verdict = record.provenance.get("verdict")
    return None if verdict in (None, "block") or record.status != "ok" else verdict == "retrain"
