"""Release: from landed files to a model that serves, and every way in which it must not come to serve."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from perennial import GradientBoosting, Linear, Median
from perennial.graph.stages import training_assets
from perennial.promotion.gates import GATES
from perennial.stores.models.artifacts import Artifacts
from perennial.stores.models.bundles import BundleStore
from perennial.stores.operations import Operations
from pipelines.delivery_eta import delivery_eta
from resources.runs import RunResult
from tests.assets.house import House, copy_of
from tests.journeys.conftest import LAST

QUICK = [Median(by="restaurant"), Linear(), GradientBoosting()]
EARLIER = "2024-02-11"
"""Its sealed test, from 02-05 on, holds days from which a model as of `LAST` learned."""
STRICT = [replace(part, limit=0.001) for part in delivery_eta.slices]


@pytest.fixture(scope="module")
def first(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with copy_of(released, tmp_path_factory.mktemp("first") / "home") as house:
        yield house


@pytest.fixture(scope="module")
def refused(backfilled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, RunResult]]:
    """A first training that a slice with an impossible limit refuses."""
    pipeline = replace(delivery_eta, slices=STRICT, candidates=QUICK)
    with copy_of(backfilled, tmp_path_factory.mktemp("refused") / "home", pipeline=pipeline) as house:
        yield house, house.run(*training_assets(pipeline), keys=LAST)


def operations_of(house: House) -> Operations:
    return house.tables.operations


def outcomes(house: House, as_of: str) -> dict[str, str]:
    """The verdict of each gate on the bundle made as of `as_of`."""
    proof = Artifacts(house.home.root / "artifacts").get(house.pipeline.name, as_of, "bundle")["proof.json"]
    dossier = operations_of(house).dossier(house.pipeline.name, json.loads(proof)["sha256"])
    assert dossier is not None
    return {verdict.gate: verdict.outcome for verdict in dossier.verdicts}


def kinds(house: House) -> list[str]:
    return [entry.kind for entry in operations_of(house).ledger(house.pipeline.name, limit=100)]


def test_a_first_training_that_passes_every_gate_serves(first: House) -> None:
    operations = operations_of(first)
    champion = operations.champion("delivery_eta")

    assert champion is not None
    assert (champion.number, champion.as_of) == (1, LAST)
    assert operations.routes()["delivery_eta"] == champion
    assert kinds(first) == ["release"]
    assert outcomes(first, LAST) == dict.fromkeys(GATES, "passed")
    worth = {one["name"]: one["importance"] for one in champion.attributes["features"]}
    assert max(value for value in worth.values() if value is not None) > 0.1  # minutes, of the distance most likely
    manifest = BundleStore(first.home.bundles).get(champion.bundle_sha256).manifest
    assert (manifest["as_of"], manifest["declaration_hash"]) == (LAST, delivery_eta.hash)
    assert [manifest["windows"][part][-1] for part in ("train", "validation", "test")] == [
        "2024-01-31",
        "2024-02-07",
        LAST,
    ]


def test_the_model_is_better_than_what_the_business_asks_for(first: House) -> None:
    champion = operations_of(first).champion("delivery_eta")

    assert champion is not None
    assert champion.attributes["test"]["mae"]["value"] < delivery_eta.objective.goal


def test_each_step_shows_what_a_person_wants_to_see(first: House) -> None:
    shown = {}
    for name in training_assets(delivery_eta):
        (record,) = first.instance.fetch_materializations(first.key(name), limit=1).records
        assert record.asset_materialization is not None
        assert record.asset_materialization.partition == LAST
        shown[name] = {name: value.value for name, value in record.asset_materialization.metadata.items()}

    assert shown["training_set"]["content_hash"]
    assert "data:image/png" in str(shown["neural_net"]["learning_curve"])
    assert all("data:image/png" in str(shown[candidate.name]["errors"]) for candidate in delivery_eta.candidates)
    assert "bikes" in str(shown["evaluation"]["slices"])
    assert all(way in str(shown["bundle"]["parity"]) for way in ("onnx", "batch", "http"))
    assert shown["dossier"]["passed"] is True
    assert shown["release"]["version"] == 1
    everything = ", ".join(feature.name for feature in delivery_eta.checked_features)
    assert str(shown["selected"]["learns from"]).endswith(f" features: {everything}")


def test_training_the_same_as_of_again_gives_the_same_bundle_and_the_same_version(
    released: Path, tmp_path: Path
) -> None:
    with copy_of(released, tmp_path / "home") as house:
        before = operations_of(house).versions("delivery_eta")

        result = house.run(*training_assets(house.pipeline), keys=LAST)

        assert result.success
        assert operations_of(house).versions("delivery_eta") == before
        assert len(list(house.home.bundles.iterdir())) == 1
        assert kinds(house) == ["release"]
        dossier = operations_of(house).dossier("delivery_eta", before[0].bundle_sha256)
        assert dossier is not None
        assert dossier.champion == 1


def test_a_gate_that_refuses_keeps_the_later_steps_from_running(refused: tuple[House, RunResult]) -> None:
    house, result = refused

    assert not result.success
    (error,) = result.errors
    assert error.is_refusal
    assert error.step == "delivery_eta__dossier"
    assert house.materialized("dossier") == [LAST]
    assert house.materialized("registered_model") == house.materialized("release") == []
    assert outcomes(house, LAST)["slices"] == "refused"


def test_the_ledger_holds_the_refusal_with_its_reason_and_nothing_is_routed(
    refused: tuple[House, RunResult],
) -> None:
    house, _ = refused

    (entry,) = operations_of(house).ledger("delivery_eta", limit=10)
    assert entry.kind == "refusal"
    assert "slices: weekend: error" in entry.reason
    assert "limit 0.001" in entry.reason
    assert operations_of(house).routes() == {}
    assert operations_of(house).versions("delivery_eta") == []


def test_each_gate_is_a_blocking_check_with_its_verdict(refused: tuple[House, RunResult]) -> None:
    house, result = refused

    logs = house.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    every = [e.dagster_event.asset_check_evaluation_data for e in logs if e.dagster_event]
    found = [evaluation for evaluation in every if evaluation.asset_key == house.key("dossier")]

    assert [evaluation.check_name for evaluation in found] == list(GATES)
    assert all(evaluation.blocking for evaluation in found)
    assert [evaluation.check_name for evaluation in found if not evaluation.passed] == ["slices"]


def test_a_later_run_of_the_release_alone_reads_the_gates_again(
    refused: tuple[House, RunResult], tmp_path: Path
) -> None:
    house, _ = refused
    with copy_of(house.home.root, tmp_path / "home", pipeline=house.pipeline) as later:
        result = later.run("registered_model", "release", keys=LAST)

        (error,) = result.errors
        assert error.is_refusal
        assert "1 of 4 gates did not pass (slices refused" in error.message
        assert operations_of(later).routes() == {}
        assert kinds(later).count("refusal") == 2


def test_a_worse_model_is_refused_against_the_champion(released: Path, tmp_path: Path) -> None:
    blind = replace(delivery_eta, candidates=[Median(by="weather"), Linear(ignore=("distance_km", "log_distance"))])
    with copy_of(released, tmp_path / "home", pipeline=blind) as house:
        result = house.run(*training_assets(blind), keys=LAST)

        (error,) = result.errors
        assert error.is_refusal
        assert outcomes(house, LAST)["not_worse_than_champion"] == "refused"
        assert operations_of(house).routes()["delivery_eta"].number == 1
        assert kinds(house) == ["refusal", "release"]


def test_a_champion_that_learned_from_the_sealed_test_is_not_comparable(released: Path, tmp_path: Path) -> None:
    quick = replace(delivery_eta, candidates=QUICK)
    with copy_of(released, tmp_path / "home", pipeline=quick) as house:
        result = house.run(*training_assets(quick), keys=EARLIER)

        assert [error.is_refusal for error in result.errors] == [True]
        assert outcomes(house, EARLIER)["not_worse_than_champion"] == "not_comparable"
        entry = operations_of(house).ledger("delivery_eta", limit=1)[0]
        assert "version 1 learned from 2024-02-05, 2024-02-06, 2024-02-07" in entry.reason
        assert operations_of(house).routes()["delivery_eta"].as_of == LAST
