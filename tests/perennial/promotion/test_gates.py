"""Each gate refuses a model that is really worse, and anything that it has no evidence for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.bundle.parity import ParityResult, compare
from perennial.evaluation.metrics import Difference, Measure, SliceMeasure, measure_slices, paired_difference
from perennial.featurization.expressions import declare_features
from perennial.objective import Regression, ShareWithin
from perennial.policies import Better, Gates, NotWorse, Parity, Slice
from perennial.promotion.gates import (
    GATES,
    WAYS,
    AgainstChampion,
    Evidence,
    NoChampion,
    better_than_baselines,
    judge,
    not_worse_than_champion,
    slices_within_limits,
    ways_agree,
)
from perennial.training.candidates import GradientBoosting, Linear, Median, Rows
from perennial.training.candidates.base import Candidate

OBJECTIVE = Regression(goal=1.0, unit="minutes", kpi=ShareWithin(5))
DAYS = 10


@cache
def trips(seed: int) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """Features, minutes and days of trips; some days are slow for everybody."""
    draw = np.random.default_rng(seed)
    rows = 1_500
    day = draw.integers(0, DAYS, rows)
    distance, hour = draw.gamma(2, 2, rows), draw.integers(0, 24, rows)
    zone = draw.choice(["centre", "airport", "suburb"], rows)
    slow = draw.normal(0, 0.5, DAYS)[day]
    label = 5 + 3 * distance + 4 * np.sin(hour / 4) + 2 * (zone == "airport") + slow + draw.normal(0, 1, rows)
    frame = pl.DataFrame({"distance": distance, "hour": hour, "zone": zone})
    return frame.with_columns(pl.col("distance", "hour").cast(pl.Float32)), label, day


@cache
def answers(candidate: Candidate, *, blind_to: str | None = None) -> np.ndarray:
    """The predictions for the sealed test of a candidate fitted on other rows."""
    frame, label, _ = trips(0)
    if blind_to:
        hidden = frame["zone"] != blind_to
        frame, label = frame.filter(hidden), label[hidden.to_numpy()]
    features = declare_features([pl.col(name) for name in frame.columns], frame.schema, where="test")
    fitted = candidate.fit(Rows(features=frame, label=label), None, features=features, objective=OBJECTIVE, seed=0)
    return fitted.predict(trips(1)[0])


GOOD = GradientBoosting(max_iter=60)
POOR = Median(by="zone")


def difference(ours: np.ndarray, theirs: np.ndarray) -> Difference:
    _, label, day = trips(1)
    return paired_difference(label, ours, theirs, day, metric="mae")


def against(ours: np.ndarray, theirs: np.ndarray) -> AgainstChampion:
    return AgainstChampion(
        version=3, fitted=frozenset({"2024-01"}), sealed=frozenset({"2024-02"}), difference=difference(ours, theirs)
    )


def given_gap(high: float, *, low: float = -1.0, confidence: float = 0.95) -> Difference:
    gap = Measure(value=(low + high) / 2, low=low, high=high, confidence=confidence, rows=100, days=9)
    return Difference(ours=9.0, theirs=10.0, gap=gap)


class TestBetterThanBaselines:
    def test_lets_a_model_through_that_really_is_better(self):
        verdict = better_than_baselines(
            {
                "median": difference(answers(GOOD), answers(POOR)),
                "linear": difference(answers(GOOD), answers(Linear())),
            },
            Better(),
        )

        assert verdict.passed, verdict.reason
        assert set(verdict.evidence) == {"median", "linear"}

    def test_refuses_a_model_that_really_is_worse_than_one_of_them(self):
        verdict = better_than_baselines(
            {
                "median": difference(answers(Linear()), answers(POOR)),
                "best": difference(answers(Linear()), answers(GOOD)),
            },
            Better(),
        )

        assert verdict.outcome == "refused"
        assert verdict.reason.startswith("not shown to be better than best: error ")

    def test_refuses_a_model_that_is_only_as_good(self):
        assert not better_than_baselines({"same": difference(answers(GOOD), answers(GOOD))}, Better()).passed

    @given(high=st.floats(-2, 2))
    def test_passes_exactly_when_the_whole_interval_lies_below_zero(self, high):
        assert better_than_baselines({"median": given_gap(high, low=-3.0)}, Better()).passed == (high < 0)

    def test_refuses_where_there_is_no_baseline(self):
        assert better_than_baselines({}, Better()).reason == "no baseline was measured beside it"

    def test_refuses_an_interval_of_less_confidence_than_it_claims(self):
        verdict = better_than_baselines({"median": given_gap(-0.5, confidence=0.8)}, Better(confidence=0.95))

        assert verdict.reason == "against median: measured at confidence 0.8, claimed at 0.95"


class TestNotWorseThanChampion:
    def test_passes_with_its_reason_when_nothing_serves_yet(self):
        verdict = not_worse_than_champion(NoChampion(), NotWorse())

        assert (verdict.outcome, verdict.reason) == ("passed", "no champion yet")

    def test_lets_a_model_through_that_is_as_good(self):
        assert not_worse_than_champion(against(answers(GOOD), answers(GOOD)), NotWorse()).passed

    def test_refuses_a_model_that_really_is_worse(self):
        verdict = not_worse_than_champion(against(answers(Linear()), answers(GOOD)), NotWorse())

        assert verdict.outcome == "refused"
        assert verdict.reason.startswith("not shown to be no worse than version 3")

    def test_cannot_compare_with_a_champion_that_learned_from_the_sealed_test(self):
        evidence = replace(against(answers(GOOD), answers(POOR)), fitted=frozenset({"2024-01", "2024-02"}))

        verdict = not_worse_than_champion(evidence, NotWorse())

        assert verdict.outcome == "not_comparable"
        assert "learned from 2024-02" in verdict.reason
        assert not verdict.passed

    @pytest.mark.parametrize("part", ["fitted", "sealed"])
    def test_refuses_when_it_is_unknown_what_the_champion_learned_from(self, part):
        unknown: dict[str, Any] = {part: frozenset()}
        evidence = replace(against(answers(GOOD), answers(POOR)), **unknown)

        assert not_worse_than_champion(evidence, NotWorse()).outcome == "refused"

    @given(high=st.floats(-1, 1), margin=st.floats(0, 0.2))
    def test_passes_exactly_below_the_margin_of_the_champions_error(self, high, margin):
        evidence = replace(against(answers(GOOD), answers(GOOD)), difference=given_gap(high))

        assert not_worse_than_champion(evidence, NotWorse(margin=margin)).passed == (high < margin * 10.0)


class TestSlices:
    PARTS = tuple(Slice(name=z, where=pl.col("zone") == z, limit=1.5) for z in ("centre", "airport"))

    def measured(self, ours: np.ndarray) -> dict[str, SliceMeasure]:
        frame, label, _ = trips(1)
        return dict(measure_slices(frame.with_columns(label=label), self.PARTS, ours, metric="mae"))

    def test_lets_a_model_through_that_serves_every_slice(self):
        assert slices_within_limits(self.measured(answers(GOOD)), self.PARTS).passed

    def test_refuses_a_model_that_never_saw_the_airport(self):
        verdict = slices_within_limits(self.measured(answers(GOOD, blind_to="airport")), self.PARTS)

        assert verdict.outcome == "refused"
        assert verdict.reason.startswith("airport: error ")

    def test_refuses_too_few_rows_and_a_slice_that_was_not_measured(self):
        found = self.measured(answers(GOOD))
        found["centre"] = replace(found["centre"], rows=49)
        del found["airport"]

        verdict = slices_within_limits(found, self.PARTS)

        assert verdict.reason == "centre: 49 rows, needs 50; airport: not measured"

    def test_passes_when_none_is_declared(self):
        assert slices_within_limits({}, ()).reason == "no slice declared"

    @given(error=st.floats(0, 10), more=st.floats(0, 10), limit=st.floats(0, 10))
    def test_more_error_never_turns_a_refusal_into_a_pass(self, error, more, limit):
        part = Slice(name="all", where=pl.lit(value=True), limit=limit)

        before, after = (
            slices_within_limits({"all": SliceMeasure(name="all", value=value, rows=99)}, [part]).passed
            for value in (error, error + more)
        )

        assert before or not after


class TestParity:
    def test_lets_ways_through_that_agree(self):
        agreeing = compare(answers(GOOD), answers(GOOD).astype(np.float32))

        assert ways_agree(dict.fromkeys(WAYS, agreeing), Parity()).passed

    @pytest.mark.parametrize("way", WAYS)
    def test_refuses_a_way_that_runs_another_model(self, way):
        ways = dict.fromkeys(WAYS, compare(answers(GOOD), answers(GOOD)))
        ways[way] = compare(answers(GOOD), answers(GradientBoosting(max_iter=59)))

        verdict = ways_agree(ways, Parity())

        assert verdict.outcome == "refused"
        assert verdict.reason.startswith(f"{way}: differs by ")

    @pytest.mark.parametrize("way", WAYS)
    def test_refuses_a_way_that_was_not_run(self, way):
        ways = {w: compare(answers(GOOD), answers(GOOD)) for w in WAYS if w != way}

        assert ways_agree(ways, Parity()).reason == f"{way}: not run"

    def test_refuses_too_few_golden_rows(self):
        ways = dict.fromkeys(WAYS, compare(answers(GOOD)[:499], answers(GOOD)[:499]))

        assert "499 golden rows, needs 500" in ways_agree(ways, Parity()).reason

    def test_refuses_another_way_that_was_run_and_disagrees(self):
        ways = dict.fromkeys(WAYS, compare(answers(GOOD), answers(GOOD)))

        assert not ways_agree(ways | {"spark": compare(answers(GOOD), answers(POOR))}, Parity()).passed

    @given(largest=st.floats(0, 1e-3), more=st.floats(0, 1e-3))
    def test_more_difference_never_turns_a_refusal_into_a_pass(self, largest, more):
        before, after = (
            ways_agree(dict.fromkeys(WAYS, ParityResult(rows=500, largest=x, within=x <= 1e-4)), Parity()).passed
            for x in (largest, largest + more)
        )

        assert before or not after


def everything() -> Evidence:
    return Evidence(
        baselines={"median": difference(answers(GOOD), answers(POOR))},
        champion=against(answers(GOOD), answers(Linear())),
        slices=TestSlices().measured(answers(GOOD)),
        parity=dict.fromkeys(WAYS, compare(answers(GOOD), answers(GOOD))),
    )


def test_judge_gives_each_gate_one_verdict():
    verdicts = judge(everything(), Gates(), TestSlices.PARTS)

    assert tuple(verdict.gate for verdict in verdicts) == GATES
    assert all(verdict.passed for verdict in verdicts)


broken = st.sampled_from([math.nan, math.inf, -math.inf])


def _without_number(good: Difference, field: str, value: float) -> Difference:
    change: dict[str, Any] = {field: value}
    if field in ("ours", "theirs"):
        return replace(good, **change)
    return replace(good, gap=replace(good.gap, **change))


@given(value=broken, field=st.sampled_from(["ours", "theirs", "value", "low", "high"]))
def test_a_difference_that_is_no_number_never_passes(value, field):
    baseline = _without_number(given_gap(-0.5), field, value)
    champion = replace(against(answers(GOOD), answers(GOOD)), difference=baseline)

    assert not better_than_baselines({"median": given_gap(-0.5), "linear": baseline}, Better()).passed
    assert not not_worse_than_champion(champion, NotWorse()).passed


@given(value=st.sampled_from([math.nan, math.inf]), way=st.sampled_from(WAYS))
def test_a_measure_that_is_no_number_never_passes(value, way):
    part = Slice(name="all", where=pl.lit(value=True), limit=5.0)
    ways = dict.fromkeys(WAYS, ParityResult(rows=500, largest=0.0, within=True))

    assert not slices_within_limits({"all": SliceMeasure(name="all", value=value, rows=99)}, [part]).passed
    assert not ways_agree(ways | {way: ParityResult(rows=500, largest=value, within=True)}, Parity()).passed


def _without_difference(evidence: Evidence) -> Evidence:
    assert isinstance(evidence.champion, AgainstChampion)
    return replace(evidence, champion=replace(evidence.champion, difference=None))


MISSING: list[tuple[str, Callable[[Evidence], Evidence]]] = [
    (GATES[0], lambda e: replace(e, baselines={})),
    (GATES[0], lambda e: replace(e, baselines={**e.baselines, "linear": None})),
    (GATES[1], lambda e: replace(e, champion=None)),
    (GATES[1], _without_difference),
    (GATES[2], lambda e: replace(e, slices={})),
    (GATES[3], lambda e: replace(e, parity={})),
]


@pytest.mark.parametrize(("gate", "take_away"), MISSING)
def test_a_gate_without_evidence_refuses_and_the_others_do_not_mind(gate, take_away):
    verdicts = judge(take_away(everything()), Gates(), TestSlices.PARTS)

    assert [verdict.gate for verdict in verdicts if not verdict.passed] == [gate]


@given(high=st.floats(-2, 2), more=st.floats(0, 2))
def test_a_greater_difference_never_turns_a_refusal_into_a_pass(high, more):
    for claims in (
        lambda d: better_than_baselines({"median": d}, Better()),
        lambda d: not_worse_than_champion(replace(against(answers(GOOD), answers(GOOD)), difference=d), NotWorse()),
    ):
        before, after = (claims(given_gap(h, low=-3.0)).passed for h in (high, high + more))
        assert before or not after


class TestProbabilities:
    """The same gates on the paired differences of log loss and Brier score."""

    @staticmethod
    def chances(seed: int, *, noise: float = 0.0, shift: float = 0.0) -> tuple[np.ndarray, ...]:
        """0/1 labels, their true probabilities, worse ones (noisy or shifted log odds), and days that share luck."""
        draw = np.random.default_rng(seed)
        day = draw.integers(0, DAYS, 2_000)
        odds = draw.normal(0, 1.5, 2_000) + draw.normal(0, 0.3, DAYS)[day]
        label = (draw.random(2_000) < 1 / (1 + np.exp(-odds))).astype(np.float64)
        worse = odds + draw.normal(0, noise, 2_000) + shift
        return label, 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-worse)), day

    @pytest.mark.parametrize("metric", ["log_loss", "brier"])
    @pytest.mark.parametrize("fault", [{"noise": 1.5}, {"shift": 1.0}])
    def test_a_classifier_that_ranks_worse_or_is_calibrated_worse_is_refused(self, metric, fault):
        label, good, worse, day = self.chances(0, **fault)
        gap = paired_difference(label, worse, good, day, metric=metric)
        evidence = replace(against(answers(GOOD), answers(GOOD)), difference=gap)

        assert better_than_baselines({"base_rate": gap}, Better()).outcome == "refused"
        assert not_worse_than_champion(evidence, NotWorse()).outcome == "refused"
        assert gap.gap.low > 0

    @pytest.mark.parametrize("metric", ["log_loss", "brier"])
    def test_a_classifier_that_is_better_passes_and_one_as_good_is_not_worse(self, metric):
        label, good, worse, day = self.chances(1, noise=1.5)
        better = paired_difference(label, good, worse, day, metric=metric)
        same = replace(
            against(answers(GOOD), answers(GOOD)), difference=paired_difference(label, good, good, day, metric=metric)
        )

        assert better_than_baselines({"base_rate": better}, Better()).passed
        assert not_worse_than_champion(same, NotWorse()).passed

    @pytest.mark.parametrize("metric", ["log_loss", "brier"])
    def test_equally_noisy_classifiers_are_seldom_told_apart(self, metric):
        passed = 0
        for seed in range(200):
            label, good, ours, day = self.chances(seed, noise=0.7)
            odds = np.log(good / (1 - good)) + np.random.default_rng(seed + 10_000).normal(0, 0.7, len(good))
            theirs = 1 / (1 + np.exp(-odds))
            gap = paired_difference(label, ours, theirs, day, metric=metric, seed=seed)
            passed += better_than_baselines({"base_rate": gap}, Better()).passed

        assert passed / 200 <= 0.065  # 2.5 % is nominal

    def test_a_slice_on_which_the_probabilities_are_wrong_is_refused(self):
        label, good, _, _ = self.chances(2)
        rows = pl.DataFrame({"label": label, "agent": np.arange(len(label)) % 10})
        wrong = np.where(rows["agent"] == 3, 1 - good, good)
        slices = [Slice(name=f"agent {n}", where=pl.col("agent") == n, limit=0.69) for n in (3, 4)]

        measured = measure_slices(rows, slices, wrong, metric="log_loss")

        assert slices_within_limits(measured, slices[1:]).passed
        assert "agent 3: error" in slices_within_limits(measured, slices).reason
