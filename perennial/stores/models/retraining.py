"""Retraining: collects what is known of a pipeline when the question is whether to train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from perennial.declaration import Pipeline
from perennial.errors import NoMatureLabels, PartitionBlocked
from perennial.graph.lineage import Standing
from perennial.graph.records import PartitionRecord
from perennial.graph.stages import LEARNED_FROM
from perennial.ingestion.arrivals import fingerprint
from perennial.labels.maturity import newest_mature
from perennial.retraining import AsOf, Champion, DriftVerdict, Evidence
from perennial.stores.lake.summaries import TABLE, asks_for_retraining, unfit
from perennial.stores.lake.tables import Tables
from perennial.stores.lake.windows import known_shares
from perennial.stores.models.artifacts import Artifacts
from perennial.stores.models.bundles import BundleStore
from perennial.stores.models.versions import bundle_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingHistory:
    """What has been recorded of a pipeline's data and trainings."""

    tables: Tables
    artifacts: Artifacts
    bundles: BundleStore

    def evidence(self, pipeline: Pipeline, *, now: datetime, scheduled: bool = False) -> Evidence:
        """All that `decide_retraining` asks for, as it is recorded at `now`.

        The newest as-of is the newest with all data there; without one, the newest whose partition has
        landed, with what its window lacks. A month without data is no candidate.
        """
        standing = self.tables.standing(pipeline)
        newest, blocked = _newest(self.tables, standing, now)
        if newest is None:
            return Evidence(newest=None, history=0, history_needed=pipeline.windows.length, scheduled=scheduled)
        champion = self._champion(pipeline)
        return Evidence(
            newest=AsOf(
                key=newest,
                instant=pipeline.time.known_at(newest),
                evidence=_window_evidence(standing, newest, _window(self.tables, pipeline, newest)),
            ),
            history=_history(self.tables, pipeline, newest),
            history_needed=pipeline.windows.length,
            blocked=blocked,
            known_labels=self.tables.labels_until(pipeline, newest),
            champion=champion,
            drift=self._drift(pipeline, champion),
            value_skew=self._value_skew(pipeline),
            last_trained=self._last_trained(pipeline),
            scheduled=scheduled,
        )

    def _champion(self, pipeline: Pipeline) -> Champion | None:
        version = self.tables.operations.champion(pipeline.name)
        if version is None:
            return None
        trained = self.tables.records(pipeline, "training_set").get(version.as_of)
        return Champion(
            version=version.number,
            as_of=self._trained(pipeline, version.as_of, version.bundle_sha256, trained),
            window_end=version.window_end,
            learned_until=pipeline.time.window(version.window_end).end,
            training_labels=int(version.attributes["labels"]),
            known_labels=self.tables.labels_until(pipeline, version.as_of),
        )

    def _last_trained(self, pipeline: Pipeline) -> AsOf | None:
        """The newest as-of that has a dossier made from its training set."""
        trained = self.tables.records(pipeline, "training_set")
        for as_of in sorted(trained, reverse=True):
            try:
                sha256 = bundle_of(self.artifacts, pipeline, as_of)
            except PartitionBlocked:
                continue  # the run died before it had a bundle
            if self.tables.operations.dossier(pipeline.name, sha256) is not None:
                return self._trained(pipeline, as_of, sha256, trained[as_of])
        return None

    def _trained(self, pipeline: Pipeline, as_of: str, sha256: str, record: PartitionRecord | None) -> AsOf:
        """`as_of` with the evidence that its bundle was trained on; none when its training set is another by now."""
        manifest = self.bundles.get(sha256).manifest
        same = record is not None and manifest["training_set"]["content_hash"] == record.provenance.get("content_hash")
        evidence = _evidence(manifest["declaration_hash"], record.inputs) if record is not None and same else ""
        return AsOf(key=as_of, instant=pipeline.time.known_at(as_of), evidence=evidence)

    def _drift(self, pipeline: Pipeline, champion: Champion | None) -> tuple[DriftVerdict, ...]:
        """The verdicts against the champion's own reference, oldest first."""
        records = self.tables.records(pipeline, "drift")
        return tuple(
            DriftVerdict(
                partition=key,
                start=pipeline.monitoring_time.window(key).start,
                drifted=records[key].provenance["drifted"],
            )
            for key in sorted(records)
            if records[key].provenance.get("drifted") is not None
            and champion is not None
            and records[key].provenance.get("version", champion.version) == champion.version
        )

    def _value_skew(self, pipeline: Pipeline) -> tuple[DriftVerdict, ...]:
        """What the history of each partition says of it, oldest first."""
        records = self.tables.records(pipeline, TABLE)
        return tuple(
            DriftVerdict(partition=key, start=pipeline.time.window(key).start, drifted=asks)
            for key in sorted(records)
            if (asks := asks_for_retraining(records[key])) is not None
        )


def _window(tables: Tables, pipeline: Pipeline, as_of: str) -> list[str]:
    """The partitions that a training as of `as_of` would use: none while too few have mature labels."""
    try:
        end = newest_mature(pipeline, as_of, known_shares(tables, pipeline, as_of))
    except NoMatureLabels:
        return []
    return [key for key in pipeline.time.preceding(end, pipeline.windows.length) if key >= pipeline.time.start]


def _history(tables: Tables, pipeline: Pipeline, as_of: str) -> int:
    """How many partitions there are to train on as of `as_of`: those whose labels are mature."""
    if pipeline.label.mature_after is None:
        return len(pipeline.time.keys(pipeline.time.start, as_of))
    window = _window(tables, pipeline, as_of)
    return len(pipeline.time.keys(pipeline.time.start, window[-1])) if window else 0


def _newest(tables: Tables, standing: Standing, now: datetime) -> tuple[str | None, tuple[str, ...]]:
    """The newest as-of to train, and the partitions of its window that cannot be read."""
    pipeline = standing.pipeline
    length = pipeline.windows.length
    landed = [key for key in pipeline.time.complete_keys(now) if key in standing.history("landed")]
    first: tuple[str, ...] | None = None
    for as_of in landed[: -length - 1 : -1]:
        window = _window(tables, pipeline, as_of)
        instant = pipeline.time.known_at(as_of)
        numbers = {key: number for key in window if (number := standing.known(key, instant)) is not None}
        unread = unfit(tables, pipeline, numbers)
        blocked = tuple(key for key in window if key in unread or _is_unreadable(standing, key, numbers.get(key)))
        if not blocked and len(window) == length:
            return as_of, ()
        first = blocked if first is None else first
    return (landed[-1], first or ()) if landed else (None, ())


def _is_unreadable(standing: Standing, key: str, revision: int | None) -> bool:
    return any(standing.problem_with(name, key, revision) for name in LEARNED_FROM)


def _window_evidence(standing: Standing, as_of: str, window: Sequence[str]) -> str:
    pipeline = standing.pipeline
    instant = pipeline.time.known_at(as_of)
    read = {
        f"{name}/{key}": record.content_hash
        for name in ("features", "labels")
        for key in window
        if (record := standing.record(name, key, standing.known(key, instant)))
    }
    return _evidence(pipeline.hash, read)


def _evidence(declaration: str, inputs: Mapping[str, Any]) -> str:
    """Equal for two trainings of the same declaration on the same partitions."""
    return fingerprint({"declaration": declaration, "inputs": dict(inputs)})
