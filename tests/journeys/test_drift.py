"""Drift: on the real asset, thirty days like those that the champion learned from raise no alarm, others do."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from tests.assets.house import copy_of, simulate_days
from tests.journeys.conftest import LAST, ROWS

CHECK = "no_column_has_drifted"
QUIET = ("2024-02-15", "2024-03-15")
DRIFTED = ("2024-03-16", "2024-03-20")


@pytest.mark.slow
def test_thirty_undrifted_days_raise_no_alarm_and_each_drifted_one_does(released: Path, tmp_path: Path) -> None:
    with copy_of(released, tmp_path / "home") as house:
        simulate_days(house.home.root, *QUIET, drift_start=None)
        simulate_days(house.home.root, *DRIFTED)
        assert house.run(*ROWS, keys=(QUIET[0], DRIFTED[1])).success

        result = house.run("drift", keys=(QUIET[0], DRIFTED[1]))

        assert result.success
        found = house.evaluations("drift", CHECK, result.run_id)
        calendar = house.pipeline.monitoring_time
        assert {k: e.passed for k, e in found.items()} == {
            **dict.fromkeys(calendar.keys(*QUIET), True),
            **dict.fromkeys(calendar.keys(*DRIFTED), False),
        }
        assert {e.severity for e in found.values()} == {dg.AssetCheckSeverity.WARN}
        assert not any(e.blocking for e in found.values())
        records = house.tables.records(house.pipeline, "drift")
        assert [k for k, record in records.items() if record.provenance["drifted"]] == calendar.keys(*DRIFTED)
        assert sorted(path.name for path in (house.home.reports / "delivery_eta" / "drift").iterdir()) == [
            *calendar.keys(*DRIFTED)
        ]


def test_a_quiet_week_raises_no_alarm_and_a_drifted_day_does(released: Path, tmp_path: Path) -> None:
    with copy_of(released, tmp_path / "home") as house:
        simulate_days(house.home.root, "2024-02-15", "2024-02-19", drift_start=None)
        simulate_days(house.home.root, "2024-02-20", "2024-02-20", drift_start=date(2024, 2, 20))
        assert house.run(*ROWS, keys=("2024-02-15", "2024-02-20")).success

        result = house.run("drift", keys=("2024-02-15", "2024-02-20"))

        found = house.evaluations("drift", CHECK, result.run_id)
        assert [key for key, evaluation in found.items() if not evaluation.passed] == ["2024-02-20"]
        assert len(found) == 6


def test_without_a_champion_drift_does_not_apply(backfilled: Path, tmp_path: Path) -> None:
    with copy_of(backfilled, tmp_path / "home") as house:
        result = house.run("drift", keys=LAST)

        assert result.success
        (evaluation,) = house.evaluations("drift", CHECK, result.run_id).values()
        assert evaluation.passed
        (record,) = house.instance.fetch_materializations(house.key("drift"), limit=1).records
        assert record.asset_materialization is not None
        assert "no version serves" in str(record.asset_materialization.metadata["verdict"].value)
