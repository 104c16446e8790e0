"""Comparison: every model on the same rows, and what is stored judges as what was measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import Slice, col
from perennial.bundle.parity import ParityResult
from perennial.evaluation.comparison import BUNDLE, ChampionAnswers, Comparison, compare_models
from perennial.promotion.gates import AgainstChampion, NoChampion, judge
from pipelines.delivery_eta import delivery_eta

PIPELINE = replace(
    delivery_eta,
    slices=[
        Slice(name="many", where=col("items") >= 3, limit=4.0, min_rows=5),
        Slice(name="none", where=col("items") > 99, limit=4.0),
    ],
)
DAYS, EACH = 7, 30
START = datetime(2024, 2, 5, 11, tzinfo=UTC)
ROWS = pl.DataFrame(
    {
        "partition": [f"2024-02-{5 + day:02}" for day in range(DAYS) for _ in range(EACH)],
        "event_time": pl.Series(
            [START + timedelta(days=day, minutes=n) for day in range(DAYS) for n in range(EACH)],
            dtype=pl.Datetime("us", "UTC"),
        ),
        "items": [n % 5 for _ in range(DAYS) for n in range(EACH)],
        "label": [20.0 + (7 * n + day) % 13 for day in range(DAYS) for n in range(EACH)],
    }
)
LABEL = ROWS["label"].to_numpy()
SAME = {way: ParityResult(rows=600, largest=1e-6, within=True) for way in ("onnx", "batch", "http")}


def off_by(minutes: float) -> np.ndarray:
    """Answers that are wrong by about `minutes`."""
    return LABEL + minutes * np.where(np.arange(len(LABEL)) % 2, 1.0, -1.0)


def champion(minutes: float | None, *, fitted: frozenset[str] = frozenset({"2024-02-01"})) -> ChampionAnswers:
    answers = None if minutes is None else off_by(minutes)
    return ChampionAnswers(version=3, fitted=fitted, answers=answers, problem=None if answers is not None else "torn")


def compare(bundle: float, baseline: float, against: ChampionAnswers | None = None) -> Comparison:
    return compare_models(
        PIPELINE, ROWS, bundle=off_by(bundle), baselines={"median": off_by(baseline)}, champion=against
    )


def outcomes(compared: Comparison) -> dict[str, str]:
    return {v.gate: v.outcome for v in judge(compared.evidence(SAME), PIPELINE.gates, PIPELINE.slices[:1])}


@settings(max_examples=10)
@given(ours=st.floats(0, 20), theirs=st.floats(0, 20), served=st.none() | st.floats(0, 20))
def test_what_was_stored_is_what_was_measured(ours: float, theirs: float, served: float | None) -> None:
    compared = compare(ours, theirs, None if served is None else champion(served))

    again = Comparison.from_json(compared.to_json())

    assert again.to_json() == compared.to_json()
    assert again.champion == compared.champion
    assert again.baselines == compared.baselines
    assert outcomes(again) == outcomes(compared)


def test_every_model_is_measured_on_the_same_rows() -> None:
    compared = compare(1.0, 3.0, champion(2.0))

    assert {model: by["mae"].value for model, by in compared.measures.items()} == pytest.approx(
        {BUNDLE: 1.0, "median": 3.0, "champion v3": 2.0}
    )
    assert {by["mae"].rows for by in compared.measures.values()} == {ROWS.height}
    assert {by["mae"].days for by in compared.measures.values()} == {DAYS}
    assert compared.baselines["median"].gap.value == pytest.approx(-2.0)


def test_the_sealed_partitions_are_those_of_the_rows() -> None:
    compared = compare(1.0, 3.0, champion(2.0))

    assert isinstance(compared.champion, AgainstChampion)
    assert compared.champion.sealed == frozenset(ROWS["partition"])


def test_without_a_champion_that_is_said() -> None:
    compared = compare(1.0, 3.0)

    assert compared.champion == Comparison.from_json(compared.to_json()).champion == NoChampion()
    assert outcomes(compared)["not_worse_than_champion"] == "passed"


@pytest.mark.parametrize(
    ("served", "outcome"), [(champion(0.5), "refused"), (champion(1.0), "passed"), (champion(None), "refused")]
)
def test_a_champion_that_is_better_or_cannot_answer_refuses(served: ChampionAnswers, outcome: str) -> None:
    compared = compare(1.0, 3.0, served)

    assert outcomes(compared)["not_worse_than_champion"] == outcome
    assert isinstance(compared.champion, AgainstChampion)
    assert compared.champion.problem == served.problem


def test_the_gate_says_why_a_champion_could_not_answer() -> None:
    verdicts = judge(compare(1.0, 3.0, champion(None)).evidence(SAME), PIPELINE.gates, PIPELINE.slices[:1])

    assert next(v.reason for v in verdicts if v.gate == "not_worse_than_champion") == "against version 3: torn"


def test_a_champion_that_learned_from_the_sealed_rows_is_not_comparable() -> None:
    served = champion(2.0, fitted=frozenset({"2024-02-05"}))

    assert outcomes(compare(1.0, 3.0, served))["not_worse_than_champion"] == "not_comparable"


def test_a_slice_is_measured_on_its_rows_and_an_empty_one_says_so() -> None:
    compared = compare(1.0, 3.0)

    assert compared.slices["many"].rows == DAYS * EACH * 2 // 5
    assert compared.slices["many"].value == pytest.approx(1.0)
    assert compared.slices["none"].rows == 0
    assert np.isnan(Comparison.from_json(compared.to_json()).slices["none"].value)
