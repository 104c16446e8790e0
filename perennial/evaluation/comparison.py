"""Comparison: a bundle, the champion and the baselines on the same sealed rows, as plain evidence.

It is stored as JSON between the steps that measure and judge, so that a dossier can be read, and judged
again, without the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.bundle.parity import ParityResult
from perennial.evaluation.metrics import (
    Difference,
    Measure,
    SliceMeasure,
    day_blocks,
    measure_all,
    measure_slices,
    paired_difference,
)
from perennial.promotion.gates import AgainstChampion, Evidence, NoChampion

if TYPE_CHECKING:
    import numpy as np

    from perennial.declaration import Pipeline

    Answers = np.ndarray[Any, Any]

BUNDLE = "bundle"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionAnswers:
    """The champion's predictions for the sealed rows, or why there are none."""

    version: int
    fitted: frozenset[str]
    """Partitions that it learned from."""
    answers: Answers | None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What the sealed test says of each model: measures by model, differences from the bundle, slices."""

    measures: Mapping[str, Mapping[str, Measure]]
    baselines: Mapping[str, Difference]
    champion: AgainstChampion | NoChampion
    slices: Mapping[str, SliceMeasure]

    def to_json(self) -> bytes:
        """The comparison as JSON."""
        champion = self.champion
        return json.dumps(
            {
                "measures": {model: {n: m.as_dict() for n, m in by.items()} for model, by in self.measures.items()},
                "baselines": {name: difference.as_dict() for name, difference in self.baselines.items()},
                "slices": {name: measure.as_dict() for name, measure in self.slices.items()},
                "champion": None
                if isinstance(champion, NoChampion)
                else {
                    "version": champion.version,
                    "fitted": sorted(champion.fitted),
                    "sealed": sorted(champion.sealed),
                    "difference": champion.difference.as_dict() if champion.difference else None,
                    "problem": champion.problem,
                },
            }
        ).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Comparison:
        """The comparison that `to_json` wrote."""
        raw = json.loads(text)
        return cls(
            measures={model: {n: Measure(**m) for n, m in by.items()} for model, by in raw["measures"].items()},
            baselines={name: _difference(difference) for name, difference in raw["baselines"].items()},
            slices={name: SliceMeasure(**measure) for name, measure in raw["slices"].items()},
            champion=_champion(raw["champion"]),
        )

    def evidence(self, parity: Mapping[str, ParityResult]) -> Evidence:
        """What the gates look at."""
        return Evidence(baselines=self.baselines, champion=self.champion, slices=self.slices, parity=parity)


def compare_models(
    pipeline: Pipeline,
    rows: pl.DataFrame,
    *,
    bundle: Answers,
    baselines: Mapping[str, Answers],
    champion: ChampionAnswers | None,
) -> Comparison:
    """Measure every model on the sealed `rows`, which hold the accepted columns and `label`."""
    label = rows["label"].to_numpy()
    days = day_blocks(rows["event_time"], pipeline.time.timezone)
    metric, seed = pipeline.objective.metric, pipeline.seed

    def against(theirs: Answers, confidence: float) -> Difference:
        return paired_difference(label, bundle, theirs, days, metric=metric, confidence=confidence, seed=seed)

    models = {BUNDLE: bundle, **baselines}
    if champion is not None and champion.answers is not None:
        models[f"champion v{champion.version}"] = champion.answers
    judged: AgainstChampion | NoChampion = NoChampion()
    if champion is not None:
        judged = AgainstChampion(
            version=champion.version,
            fitted=champion.fitted,
            sealed=frozenset(rows["partition"].unique()),
            difference=None
            if champion.answers is None
            else against(champion.answers, pipeline.gates.champion.confidence),
            problem=champion.problem,
        )
    return Comparison(
        measures={
            model: measure_all(label, answers, days, objective=pipeline.objective, seed=seed)
            for model, answers in models.items()
        },
        baselines={name: against(answers, pipeline.gates.baselines.confidence) for name, answers in baselines.items()},
        champion=judged,
        slices=measure_slices(rows, pipeline.slices, bundle, metric=metric),
    )


def _difference(raw: Mapping[str, Any]) -> Difference:
    gap = {name: value for name, value in raw.items() if name not in ("ours", "theirs")}
    return Difference(ours=raw["ours"], theirs=raw["theirs"], gap=Measure(**gap))


def _champion(raw: Mapping[str, Any] | None) -> AgainstChampion | NoChampion:
    if raw is None:
        return NoChampion()
    return AgainstChampion(
        version=raw["version"],
        fitted=frozenset(raw["fitted"]),
        sealed=frozenset(raw["sealed"]),
        difference=_difference(raw["difference"]) if raw["difference"] else None,
        problem=raw["problem"],
    )
