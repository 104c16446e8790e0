"""Tracking: what is told about a fit, and about versions, to the system where people compare them.

Pure values: they are complete before anything is sent, so that they can wait on disk for as long as
that system is away, and say the same when they are sent twice.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

Status = Literal["FINISHED", "FAILED", "KILLED"]
Value = TypeVar("Value")

RECORD_TAG = "perennial.record"
"""Binds a run of the tracking system to its record: one record, one run."""
VERSION_TAG = "perennial.version"
"""Carries our version number, because the registry counts its own."""
BUNDLE_TAG = "perennial.bundle_sha256"
SOURCE_TAG = "perennial.source"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,199}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One finished fit of one candidate: what went in, what came out, and where it came from."""

    id: str
    """The same on every attempt to send it; see `record_id`."""
    experiment: str
    """Name of the pipeline."""
    name: str
    """Name of the candidate."""
    started_at: datetime
    ended_at: datetime
    status: Status = "FINISHED"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """A value for each step, from step 0; no name may also be a metric's."""
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    """Content by relative path, with forward slashes."""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"record id {self.id!r} is not of the form {_ID.pattern}")
        if self.started_at.tzinfo is None or self.ended_at.tzinfo is None:
            raise ValueError(f"record {self.id}: started_at and ended_at must be aware")
        if both := sorted(set(self.metrics) & set(self.curves)):
            raise ValueError(f"record {self.id}: {both} are metrics and curves")
        if stray := [path for path in self.artifacts if not is_relative_path(path)]:
            raise ValueError(f"record {self.id}: artifact paths {stray} are not relative and plain")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Where a record can be seen; both None while it waits to be sent."""

    run_id: str | None
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionMirror:
    """Version `number` of a pipeline, as people see it in the model registry."""

    pipeline: str
    number: int
    bundle_sha256: str
    source: str
    """Where the bundle lies."""
    run_id: str | None = None
    """Run that fitted it; None means the run of the record that the tag `perennial.record` names, if any."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_tags(self) -> dict[str, str]:
        """The given tags, and those that bind this version to ours."""
        ours = {VERSION_TAG: str(self.number), BUNDLE_TAG: self.bundle_sha256, SOURCE_TAG: self.source}
        return {**with_safe_names(self.tags), **ours}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionMirror:
    """Version `number` of a pipeline serves from now on."""

    pipeline: str
    number: int


Mirror = VersionMirror | ChampionMirror


def record_id(*, pipeline: str, as_of: str, candidate: str, content_hash: str, attempt: str) -> str:
    """The id of a fit's record: equal for equal arguments, another as soon as one differs.

    `content_hash` is the training set's; `attempt` tells two fits on the same rows apart, as the
    Dagster run's id does.
    """
    parts = json.dumps([pipeline, as_of, candidate, content_hash, attempt])
    readable = re.sub(r"[^A-Za-z0-9._:+-]", "_", f"{pipeline}-{as_of}-{candidate}")[:180]
    return f"{readable.lstrip('._:+-') or 'run'}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}"


def is_relative_path(path: str) -> bool:
    """Whether `path` stays inside the folder that it is relative to, written in the one plain way."""
    return not {"", ".", ".."} & set(path.split("/")) and not {"\\", "\0"} & set(path)


def with_safe_names(values: Mapping[str, Value]) -> dict[str, Value]:
    """`values` under names that MLflow accepts; two that would share one get a digest of their own.

    >>> with_safe_names({"mae[zone=7]": 1.5, "rows": 2.0})
    {'mae_zone_7_': 1.5, 'rows': 2.0}
    """
    safe = {name: _safe_name(name) for name in values}
    shared = Counter(safe.values())
    return {
        safe[name] if name == safe[name] or shared[safe[name]] == 1 else f"{safe[name]}-{_digest(name)}": value
        for name, value in values.items()
    }


def record_to_json(record: RunRecord) -> str:
    """All of `record` but its artifacts, as text."""
    return json.dumps(
        {
            "id": record.id,
            "experiment": record.experiment,
            "name": record.name,
            "started_at": record.started_at.isoformat(),
            "ended_at": record.ended_at.isoformat(),
            "status": record.status,
            "parameters": {name: str(value) for name, value in record.parameters.items()},
            "metrics": {name: float(value) for name, value in record.metrics.items()},
            "curves": {name: [float(value) for value in values] for name, values in record.curves.items()},
            "tags": {name: str(value) for name, value in record.tags.items()},
        }
    )


def record_from_json(text: str) -> RunRecord:
    """The record that `record_to_json` wrote, without artifacts, its parameters as text."""
    found = json.loads(text)
    found["curves"] = {name: tuple(values) for name, values in found["curves"].items()}
    for name in ("started_at", "ended_at"):
        found[name] = datetime.fromisoformat(found[name])
    return RunRecord(**found)


def mirror_to_json(mirror: Mirror) -> str:
    """`mirror` as text."""
    if isinstance(mirror, ChampionMirror):
        return json.dumps({"champion": {"pipeline": mirror.pipeline, "number": mirror.number}})
    version = {name: getattr(mirror, name) for name in ("pipeline", "number", "bundle_sha256", "source", "run_id")}
    return json.dumps({"version": {**version, "tags": {name: str(value) for name, value in mirror.tags.items()}}})


def mirror_from_json(text: str) -> Mirror:
    """The mirror that `mirror_to_json` wrote."""
    found = json.loads(text)
    return ChampionMirror(**found["champion"]) if "champion" in found else VersionMirror(**found["version"])


def _safe_name(name: str) -> str:
    """`name` with `_` for what MLflow forbids: other signs than letters, digits and `_-. :/`, and ways up a path."""
    plain = re.sub(r"^\.\.|[^A-Za-z0-9_\-. :/]", "_", name)[:200]
    return "/".join(part if part not in {"", ".", ".."} else "_" for part in plain.split("/"))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]
