"""Classification: from the same orders to a served probability of a late dinner, through the same steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from perennial import (
    BaseRate,
    BinaryClassification,
    DecisionCost,
    GradientBoosting,
    Label,
    Linear,
    NeuralNet,
    Rolling,
    Slice,
    col,
)
from perennial.evaluation.comparison import BUNDLE, Comparison
from perennial.evaluation.metrics import error
from perennial.graph.stages import training_assets
from perennial.promotion.gates import GATES
from perennial.stores.models.artifacts import Artifacts
from perennial.stores.models.bundles import BundleStore
from perennial.stores.parquet import from_parquet
from perennial.stores.production.model_server import predict_over_http
from pipelines.delivery_eta import delivery_eta
from tests.assets.house import House, copy_of, open_house, simulate_days
from tests.journeys.conftest import FIRST, LAST, ROWS

LATE = delivery_eta.label.value > 30
delivery_late = replace(
    delivery_eta,
    name="delivery_late",
    aggregates=[Rolling(by="restaurant", of="label", how="share", days=28, default=0.5)],
    objective=BinaryClassification(
        goal=0.5, positive="late", error_cost=DecisionCost(false_positive=1.0, false_negative=3.0, unit="calls")
    ),
    label=Label("late", value=LATE, known_at="delivered_at"),
    candidates=[BaseRate(by="restaurant"), Linear(), GradientBoosting(), NeuralNet(epochs=4)],
    slices=[Slice(name="bikes", where=col("courier_vehicle") == "bike", limit=0.69)],
)


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house whose version 1 says how probable it is that a dinner comes late."""
    root = tmp_path_factory.mktemp("late") / "home"
    simulate_days(root, FIRST, LAST)
    with open_house(root, pipeline=delivery_late) as house:
        landed = house.run(*ROWS, "summary", keys=(FIRST, LAST))
        assert landed.success, landed.errors
        released = house.run(*training_assets(delivery_late), keys=LAST)
        assert released.success, released.errors
        yield house


def compared(house: House) -> Comparison:
    return Comparison.from_json(handed(house, "evaluation")["comparison.json"])


def handed(house: House, step: str) -> dict[str, bytes]:
    return Artifacts(house.home.root / "artifacts").get(house.pipeline.name, LAST, step)


def shown(house: House, name: str) -> dict[str, str]:
    (record,) = house.instance.fetch_materializations(house.key(name), limit=1).records
    assert record.asset_materialization is not None
    return {name: str(value.value) for name, value in record.asset_materialization.metadata.items()}


def test_a_classification_passes_the_same_gates_and_serves(late: House) -> None:
    champion = late.tables.operations.champion("delivery_late")

    assert champion is not None
    dossier = late.tables.operations.dossier("delivery_late", champion.bundle_sha256)
    assert dossier is not None
    assert {verdict.gate: verdict.outcome for verdict in dossier.verdicts} == dict.fromkeys(GATES, "passed")
    assert champion.attributes["metric"] == "log_loss"
    assert champion.attributes["test"]["roc_auc"]["value"] > 0.7
    assert champion.attributes["test"]["log_loss"]["value"] < delivery_late.objective.goal


def test_the_served_answers_are_probabilities_as_good_as_the_sealed_test_says(late: House) -> None:
    champion = late.tables.operations.champion("delivery_late")
    assert champion is not None
    bundle = BundleStore(late.home.bundles).get(champion.bundle_sha256)
    test = from_parquet(handed(late, "training_set")["test.parquet"])

    answers = predict_over_http(bundle, test)

    assert ((answers >= 0) & (answers <= 1)).all()
    measured = compared(late).measures[BUNDLE]["log_loss"]
    label = test["label"].to_numpy()
    np.testing.assert_allclose(error(label, answers, metric="log_loss"), measured.value, rtol=1e-4)
    assert set(label.tolist()) == {0.0, 1.0}
    assert abs(answers.mean() - label.mean()) < 0.05
    assert bundle.manifest["objective"]["positive"] == "late"
    assert bundle.manifest["objective"]["threshold"] == 0.25


def test_every_split_is_measured_with_intervals(late: House) -> None:
    for candidate in delivery_late.candidates:
        metrics: dict[str, float] = json.loads(handed(late, candidate.name)["trial.json"])["metrics"]
        for split in ("train", "validation"):
            for measure in ("log_loss", "brier", "roc_auc"):
                name = f"{split}_{measure}"
                assert metrics[f"{name}_low"] < metrics[name] < metrics[f"{name}_high"], (candidate.name, name)
    assert all(measured.low < measured.value < measured.high for measured in compared(late).measures[BUNDLE].values())


def test_the_evaluation_shows_calibration_ranking_and_decisions(late: House) -> None:
    found = shown(late, "evaluation")

    for picture in ("comparison", "calibration", "roc", "confusion"):
        assert "data:image/png" in found[picture]
    assert float(found["log loss [nats]"]) > 0
    for measure in ("Brier score", "ROC curve", "recall of late at 0.25", "recall of not late", "cost at 0.25 [calls]"):
        assert measure in found["models"]
    assert "bikes" in found["slices"]
    assert "errors" not in found
    learned = shown(late, "neural_net")
    assert "data:image/png" in learned["learning_curve"]
    assert " to " in learned["validation log loss [nats]"]
    assert "mean [share late]" in shown(late, "labels")


def test_a_worse_classifier_is_refused_against_the_champion(late: House, tmp_path: Path) -> None:
    blind = replace(delivery_late, candidates=[BaseRate(by="weather"), Linear(ignore=("distance_km", "log_distance"))])
    with copy_of(late.home.root, tmp_path / "home", pipeline=blind) as house:
        result = house.run(*training_assets(blind), keys=LAST)

        (refusal,) = result.errors
        assert refusal.is_refusal
        assert "not_worse_than_champion" in refusal.message
        assert house.tables.operations.routes()["delivery_late"].number == 1


@pytest.mark.parametrize("worth", [2, 0.5, float("nan")])
def test_a_label_that_is_no_class_stops_at_the_labels_with_its_value_and_an_example(
    late: House, tmp_path: Path, worth: float
) -> None:
    minutes: Any = delivery_eta.label.value
    odd = pl.when(col("items") == 3).then(worth).otherwise(minutes > 30)
    wrong = replace(delivery_late, label=Label("late", value=odd, known_at="delivered_at"))
    with copy_of(late.home.root, tmp_path / "home", pipeline=wrong) as house:
        result = house.run("labels", keys=LAST)

        (problem,) = result.errors
        assert "label 'late' is no class" in problem.message
        assert f"found {worth:g} at order_id=" in problem.message
        assert "expected 1 (late), 0, or null while nobody knows" in problem.message


def test_the_brier_score_may_judge_instead(late: House, tmp_path: Path) -> None:
    declared = delivery_late.objective
    assert isinstance(declared, BinaryClassification)
    objective = replace(declared, metric="brier", goal=0.2)
    squared = replace(delivery_late, objective=objective, candidates=[BaseRate(by="restaurant"), Linear()], slices=[])
    with copy_of(late.home.root, tmp_path / "home", pipeline=squared) as house:
        result = house.run(*training_assets(squared), keys=LAST)

        assert [error.is_refusal for error in result.errors] in ([], [True]), result.errors
        judged = compared(house)
        assert judged.baselines["base_rate"].ours == pytest.approx(judged.measures[BUNDLE]["brier"].value)
        assert judged.baselines["base_rate"].gap.high < 0
        assert "Brier score [squared probability]" in shown(house, "evaluation")
