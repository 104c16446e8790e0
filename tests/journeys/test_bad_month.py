"""A bad month: from an alert to a requeue, on the real taxi months, as docs/data-engineer.md walks through it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from cli.requeue import KIND, requeue_partition
from cli.status import show_outdated
from perennial.declaration import Pipeline
from perennial.errors import PerennialError
from perennial.validation import expectations as expect
from perennial.validation.expectations import Expectation
from pipelines.taxi_eta import taxi_eta
from tests.assets.house import House, open_house

pytestmark = [pytest.mark.real_data, pytest.mark.timeout(600)]

MONTHS = ("2023-01", "2023-02")
DISTANCE = expect.between("planned_distance", 0, 100, strict_low=True)
TOO_STRICT = expect.between("planned_distance", 0, 8, strict_low=True)
SHARE, LOWER = expect.quarantined_share(0.15), expect.quarantined_share(0.08)


def declared(*expectations: Expectation) -> Pipeline:
    kept = [e for e in taxi_eta.expectations if e not in (DISTANCE, SHARE)]
    return replace(taxi_eta, expectations=[*kept, *expectations])


STRICT, MENDED = declared(TOO_STRICT, LOWER), declared(DISTANCE, LOWER)


@pytest.fixture(scope="module")
def months(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("green_taxi")
    for month in MONTHS:
        shutil.copy(real_data / "green_taxi" / f"green_tripdata_{month}.parquet", folder)
    return folder


@pytest.fixture
def house(months: Path, taxi_sources: dict[str, str], tmp_path: Path) -> Iterator[House]:
    """Two real months, judged by a rule that is too strict."""
    places = taxi_sources | {"TAXI_ETA_SOURCE": str(months)}
    with open_house(tmp_path / "home", pipeline=STRICT, clock=None, **places) as opened:
        opened.run(keys=MONTHS)
        yield opened


def requeue(house: House, key: str) -> tuple[str | None, str]:
    """What `perennial requeue` answers and prints."""
    console = Console(file=io.StringIO(), width=120)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**house.home.environment, **(house.environment or {})}.items():
            patch.setenv(name, value)
        problem = requeue_partition(house.session, house.pipeline, key, console=console)
    assert isinstance(console.file, io.StringIO)
    return problem, console.file.getvalue()


def status(house: House) -> str:
    console = Console(file=io.StringIO(), width=200)
    show_outdated(house.pipeline, house.tables, console, now=datetime(2023, 4, 1, tzinfo=UTC))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_month_that_a_rule_blocked_is_judged_again_when_the_rule_is_mended(house: House) -> None:
    landed = house.tables.records(house.pipeline, "landed")["2023-02"]
    before = house.tables.records(house.pipeline, "accepted")["2023-02"]
    assert before.status == "blocked"
    assert "perennial requeue taxi_eta 2023-02" in status(house)

    mended = house.declared_as(expectations=MENDED.expectations)
    problem, said = requeue(mended, "2023-02")

    assert problem is None
    assert "renewed: accepted, quarantined, profile" in said
    assert "planned_distance above 0, at most 8" in said
    after = {
        name: house.tables.records(mended.pipeline, name)["2023-02"] for name in ("landed", "accepted", "features")
    }
    assert after["landed"] == landed
    assert after["accepted"].rows > before.rows
    assert after["accepted"].status == after["features"].status == "ok"
    (entry,) = house.tables.operations.ledger("taxi_eta", kind=KIND)
    assert entry.subject == "2023-02"
    rows = house.tables.read(mended.pipeline, "landed", ["2023-02"]).height
    assert rows == after["accepted"].rows + house.tables.records(mended.pipeline, "quarantined")["2023-02"].rows

    runs = len(house.instance.get_runs())
    again, told = requeue(mended, "2023-02")
    assert again is None
    assert "renewed: nothing" in told
    assert len(house.tables.operations.ledger("taxi_eta", kind=KIND)) == 1
    assert len(house.instance.get_runs()) == runs


def test_without_a_change_of_the_rule_nothing_is_run_and_the_reason_is_told(house: House) -> None:
    problem, said = requeue(house, "2023-02")

    assert problem is not None
    assert "is blocked" in problem
    assert "still not to be read" in said
    assert len(house.instance.get_runs()) == 1


def test_what_did_not_land_cannot_be_judged(house: House) -> None:
    with pytest.raises(PerennialError, match="there are no rows to judge, found landed is missing"):
        requeue(house, "2023-03")


def test_a_kill_between_the_tables_is_gone_on_with(house: House) -> None:
    mended = house.declared_as(expectations=MENDED.expectations)
    mended.run("accepted", "quarantined", keys="2023-02")  # the first step of a requeue, and no more

    problem, said = requeue(mended, "2023-02")

    assert problem is None
    assert "features" in said.rpartition("renewed:")[2]
    assert house.tables.records(mended.pipeline, "labels")["2023-02"].status == "ok"


def test_the_run_log_names_the_rows_and_what_changed_and_nobody_reads_a_blocked_month(house: House) -> None:
    assert house.declared_as(expectations=MENDED.expectations).run("accepted", "quarantined", keys="2023-01").success
    run = house.run("accepted", "quarantined", keys="2023-02")

    lines = [e.user_message for e in house.instance.all_logs(run.run_id) if not e.is_dagster_event]
    failed = "2023-02: 'planned_distance above 0, at most 8' does not hold in 6,320 rows (9.75%)"
    distance = [line for line in lines if line.startswith(failed)]
    assert len(distance) == 1
    assert distance[0].count("row ") == 5
    (changed,) = [line for line in lines if "last good one" in line]
    assert changed == (
        "2023-02 against 2023-01, the last good one: 68,211 -> 64,809 rows landed (-5%), 5.53 % -> 10.3 % quarantined, "
        "most of it 'planned_distance above 0, at most 8' 0 % -> 9.75 %"
    )
    evaluation = house.evaluations("accepted", "expectations_hold", run.run_id)["2023-02"]
    assert "planned_distance" in str(evaluation.metadata["failing rows"].value)
    assert isinstance(evaluation.metadata["data docs"], dg.UrlMetadataValue)

    for name in ("features", "labels", "profile"):
        refused = house.run(name, keys="2023-02")
        assert not refused.success, name


def test_a_unit_that_changed_is_blocked_and_a_right_file_heals_it(
    taxi_sources: dict[str, str], months: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "source"
    shutil.copytree(months, folder)
    file = folder / "green_tripdata_2023-02.parquet"
    right = file.read_bytes()
    pl.read_parquet(file).with_columns(pl.col("trip_distance") * 1609.344).write_parquet(file)
    places = taxi_sources | {"TAXI_ETA_SOURCE": str(folder)}
    with open_house(tmp_path / "home", pipeline=taxi_eta, clock=None, **places) as house:
        house.run("landed", "accepted", "quarantined", keys=MONTHS)
        (run,) = house.instance.get_runs()
        lines = [e.user_message for e in house.instance.all_logs(run.run_id) if not e.is_dagster_event]
        assert any(
            "2023-02 against 2023-01, the last good one" in line and "planned_distance" in line for line in lines
        )

        file.write_bytes(right)
        assert house.run("landed", "accepted", "quarantined", keys="2023-02").success
