"""Taxi: twelve real months of New York, from their files to a model that serves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from perennial.evaluation.comparison import BUNDLE, Comparison
from perennial.graph.stages import training_assets
from perennial.stores.lake.leakage import audit_training_set
from perennial.stores.lake.windows import collect_training_set
from perennial.stores.models.artifacts import Artifacts
from pipelines.taxi_eta import taxi_eta
from resources.runs import RunResult
from tests.assets.house import House, open_house

YEAR = ("2023-01", "2023-12")
MONTHS = taxi_eta.time.keys(*YEAR)
ROWS = ("landed", "accepted", "quarantined", "features", "labels")
ORDINARY = "trips of 1 to 60 minutes"

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def year(taxi_sources: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, RunResult]]:
    """All twelve months, backfilled."""
    root = tmp_path_factory.mktemp("taxi") / "home"
    with open_house(root, pipeline=taxi_eta, clock=None, **taxi_sources) as house:
        yield house, house.run(keys=YEAR)


def casts(house: House, month: str) -> str:
    records = house.instance.fetch_materializations(house.key("landed"), limit=100).records
    (found,) = [r.asset_materialization for r in records if r.asset_materialization and r.partition_key == month]
    return str(found.metadata["casts"].value)


@pytest.mark.timeout(600)
def test_every_month_goes_from_its_file_to_features_and_labels(year: tuple[House, RunResult]) -> None:
    house, result = year

    assert result.success, result.errors
    for name in ROWS:
        records = house.tables.records(taxi_eta, name)
        assert {key: record.status for key, record in records.items()} == dict.fromkeys(MONTHS, "ok")
        assert house.materialized(name) == MONTHS
    assert sum(r.rows for r in house.tables.records(taxi_eta, "landed").values()) == 787_060


def test_the_odd_types_of_january_are_cast_and_noted(year: tuple[House, RunResult]) -> None:
    house, _ = year

    january = casts(house, "2023-01")

    assert "vendor: int64 to int32" in january
    assert "passengers: float64 to int64" in january
    assert "ehail_fee: null to float64" in january
    assert "int64 to int32" not in casts(house, "2023-02")


@pytest.mark.parametrize("month", MONTHS)
def test_landed_is_accepted_plus_quarantined_and_a_few_percent_are_quarantined(
    year: tuple[House, RunResult], month: str
) -> None:
    house, _ = year
    landed, accepted, quarantined = (
        house.tables.records(taxi_eta, name)[month].rows for name in ("landed", "accepted", "quarantined")
    )

    assert landed == accepted + quarantined
    assert 0.02 < quarantined / landed < 0.15


@pytest.mark.parametrize("as_of", MONTHS[taxi_eta.windows.length - 1 :])
def test_no_declared_feature_is_taken_for_a_leak(year: tuple[House, RunResult], as_of: str) -> None:
    house, _ = year

    report = audit_training_set(house.tables, taxi_eta, collect_training_set(house.tables, taxi_eta, as_of))

    assert report.reason is None
    assert max(each.power for each in report.features) < 0.9


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_a_model_as_of_december_is_within_the_goal_on_ordinary_trips_and_beats_the_median(
    year: tuple[House, RunResult],
) -> None:
    house, _ = year

    result = house.run(*training_assets(taxi_eta), keys="2023-12")

    assert result.success, result.errors
    evaluation = Artifacts(house.home.root / "artifacts").get("taxi_eta", "2023-12", "evaluation")
    compared = Comparison.from_json(evaluation["comparison.json"])
    assert compared.slices[ORDINARY].value <= taxi_eta.objective.goal == 3.4
    assert compared.baselines["median"].gap.high < 0
    assert compared.measures[BUNDLE]["mae"].value < compared.measures["median"]["mae"].value
    champion = house.tables.operations.champion("taxi_eta")
    assert champion is not None
    assert (champion.number, champion.as_of) == (1, "2023-12")
