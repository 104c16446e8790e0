"""Promotion: the evidence on one bundle and the verdict of each gate on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from perennial.evaluation.evidence import plain

Outcome = Literal["passed", "refused", "not_comparable"]
"""A gate's word; only the first lets a bundle through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one gate says of one bundle, why, and on what numbers."""

    gate: str
    outcome: Outcome
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON: a number that is not finite is kept as None."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", plain(self.evidence))

    @property
    def passed(self) -> bool:
        """Whether the gate lets the bundle through; "not comparable" does not."""
        return self.outcome == "passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """All verdicts on one bundle, judged against the champion of that moment; always written."""

    pipeline: str
    bundle_sha256: str
    as_of: str
    """Key of the partition whose end the bundle's training set is as of."""
    champion: int | None
    """Version that served when the bundle was judged, or None when none did."""
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether there is a verdict, and every one passed: fails closed."""
        return bool(self.verdicts) and not self.refused

    @property
    def refused(self) -> tuple[Verdict, ...]:
        """The verdicts that keep the bundle from a release."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)

    def to_json(self) -> str:
        """The dossier as JSON, the same text for the same dossier."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Dossier:
        """The dossier that `to_json` wrote."""
        content = json.loads(text)
        return cls(**content | {"verdicts": tuple(Verdict(**verdict) for verdict in content["verdicts"])})
