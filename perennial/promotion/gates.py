"""Gates: what the evidence on a bundle must show before it may serve; what is missing refuses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from perennial.bundle.parity import ParityResult
from perennial.evaluation.metrics import Difference, SliceMeasure
from perennial.policies import Better, Gates, NotWorse, Parity, Slice
from perennial.promotion.dossier import Verdict

GATES = ("better_than_baselines", "not_worse_than_champion", "slices", "parity")
"""The name of each verdict that `judge` gives, in order."""
WAYS = ("onnx", "batch", "http")
"""The ways of running a bundle that must each agree with the fitted model's own answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoChampion:
    """The statement that nothing serves yet, which is not the same as no evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstChampion:
    """The champion beside the candidate on the sealed test."""

    version: int
    fitted: frozenset[str]
    """Partitions that the champion learned from: its train and validation windows."""
    sealed: frozenset[str]
    """Partitions of the sealed test that judges both."""
    difference: Difference | None
    problem: str | None = None
    """Why it could not answer, where it could not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the gates look at; None, NaN or an absent name is evidence that is missing."""

    baselines: Mapping[str, Difference | None]
    """Every declared baseline but the candidate itself; empty when there is none to beat."""
    champion: AgainstChampion | NoChampion | None
    slices: Mapping[str, SliceMeasure]
    parity: Mapping[str, ParityResult]


def judge(evidence: Evidence, gates: Gates, slices: Sequence[Slice]) -> tuple[Verdict, ...]:
    """The verdict of each gate, in the order of `GATES`."""
    return (
        better_than_baselines(evidence.baselines, gates.baselines),
        not_worse_than_champion(evidence.champion, gates.champion),
        slices_within_limits(evidence.slices, slices),
        ways_agree(evidence.parity, gates.parity),
    )


def better_than_baselines(baselines: Mapping[str, Difference | None], claim: Better) -> Verdict:
    """Whether the interval of the difference from each baseline lies below zero."""
    measured = {name: difference.as_dict() for name, difference in baselines.items() if difference}
    if not baselines:
        return _verdict(GATES[0], "refused", "no baseline was measured beside it", measured)
    for name, difference in baselines.items():
        problem = _unusable(difference, claim.confidence)
        if difference is None or problem:
            return _verdict(GATES[0], "refused", f"against {name}: {problem}", measured)
        if not difference.gap.high < 0:
            return _verdict(GATES[0], "refused", f"not shown to be better than {name}: {_words(difference)}", measured)
    least = min((d for d in baselines.values() if d), key=lambda d: d.theirs)
    return _verdict(GATES[0], "passed", f"better than {', '.join(baselines)}: {_words(least)}", measured)


def not_worse_than_champion(champion: AgainstChampion | NoChampion | None, claim: NotWorse) -> Verdict:
    """Whether the interval of the difference from the champion lies below `margin` of its error."""
    if isinstance(champion, NoChampion):
        return _verdict(GATES[1], "passed", "no champion yet", {})
    if champion is None or not champion.fitted or not champion.sealed:
        return _verdict(GATES[1], "refused", "no evidence on the champion or on the partitions it learned from", {})
    version = f"version {champion.version}"
    overlap = sorted(champion.fitted & champion.sealed)
    if overlap:
        reason = f"{version} learned from {', '.join(overlap)}, which the sealed test holds"
        return _verdict(GATES[1], "not_comparable", reason, {"version": champion.version, "overlap": overlap})
    problem = champion.problem or _unusable(champion.difference, claim.confidence)
    if champion.difference is None or problem:
        return _verdict(GATES[1], "refused", f"against {version}: {problem}", {"version": champion.version})
    limit = claim.margin * champion.difference.theirs
    evidence = {"version": champion.version, "limit": limit, **champion.difference.as_dict()}
    words = f"{_words(champion.difference)}, allowed {limit:.4g}"
    if champion.difference.gap.high < limit:
        return _verdict(GATES[1], "passed", f"not worse than {version}: {words}", evidence)
    return _verdict(GATES[1], "refused", f"not shown to be no worse than {version}: {words}", evidence)


def slices_within_limits(measured: Mapping[str, SliceMeasure], slices: Sequence[Slice]) -> Verdict:
    """Whether the error on each declared slice is at most its limit, on enough rows."""
    evidence = {
        part.name: {"limit": part.limit, "min_rows": part.min_rows}
        | (measured[part.name].as_dict() if part.name in measured else {})
        for part in slices
    }
    problems = [problem for part in slices if (problem := _slice_problem(measured.get(part.name), part))]
    if problems:
        return _verdict(GATES[2], "refused", "; ".join(problems), evidence)
    return _verdict(
        GATES[2], "passed", f"{len(slices)} slices within their limits" if slices else "no slice declared", evidence
    )


def ways_agree(parity: Mapping[str, ParityResult], claim: Parity) -> Verdict:
    """Whether every way of running the bundle agrees with the fitted model on enough golden rows."""
    evidence = {way: result.as_dict() for way, result in parity.items()}
    problems = [
        problem
        for way in dict.fromkeys([*WAYS, *parity])
        if (problem := _parity_problem(parity.get(way), claim, way=way))
    ]
    if problems:
        return _verdict(GATES[3], "refused", "; ".join(problems), evidence)
    largest = max(result.largest for result in parity.values())
    return _verdict(GATES[3], "passed", f"{', '.join(parity)} agree within {largest:.1e}", evidence)


def _unusable(difference: Difference | None, confidence: float) -> str | None:
    """Why a difference is no evidence at this confidence, or None when it is."""
    if difference is None:
        return "not measured"
    gap = difference.gap
    if not all(map(math.isfinite, (difference.ours, difference.theirs, gap.value, gap.low, gap.high))):
        return f"no interval from {gap.rows} rows of {gap.days} days"
    if gap.confidence < confidence:
        return f"measured at confidence {gap.confidence}, claimed at {confidence}"
    return None


def _slice_problem(measured: SliceMeasure | None, part: Slice) -> str | None:
    if measured is None:
        return f"{part.name}: not measured"
    if measured.rows < part.min_rows:
        return f"{part.name}: {measured.rows} rows, needs {part.min_rows}"
    if not measured.value <= part.limit:
        return f"{part.name}: error {measured.value:.4g}, limit {part.limit:.4g}"
    return None


def _parity_problem(result: ParityResult | None, claim: Parity, *, way: str) -> str | None:
    if result is None:
        return f"{way}: not run"
    if result.rows < claim.min_rows:
        return f"{way}: {result.rows} golden rows, needs {claim.min_rows}"
    if not (result.within and result.largest <= claim.tolerance):
        return f"{way}: differs by {result.largest:.1e}, allowed {claim.tolerance:.1e}"
    return None


def _words(difference: Difference) -> str:
    gap = difference.gap
    return (
        f"error {difference.ours:.4g} against {difference.theirs:.4g}, "
        f"difference {gap.value:+.4g} ({gap.low:+.4g} to {gap.high:+.4g}, {gap.days} days)"
    )


def _verdict(
    gate: str, outcome: Literal["passed", "refused", "not_comparable"], reason: str, evidence: Mapping[str, object]
) -> Verdict:
    return Verdict(gate=gate, outcome=outcome, reason=reason, evidence=evidence)
