"""Range run: the fate of one partition does not touch its neighbours, and each is told by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.range_run import MAX_PARTITIONS, MAX_ROWS, batches_of
from perennial.content import content_hash
from resources.runs import RunResult
from tests.assets.house import House, copy_of, open_house, simulate_days
from tests.eta import DATA

RANGE = ("2024-01-01", "2024-01-07")
GOOD = ["2024-01-01", "2024-01-06", "2024-01-07"]
SKEWED, MISSING, REJECTED, NOT_PARQUET = "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"
BAD = [SKEWED, MISSING, REJECTED, NOT_PARQUET]
REASONS = {
    SKEWED: ("landed", "schema_is_known", "column 'zone' is missing"),
    MISSING: ("landed", "schema_is_known", "orders_2024-01-03.parquet"),
    REJECTED: ("accepted", "expectations_hold", "landed rows are quarantined"),
    NOT_PARQUET: ("landed", "schema_is_known", "orders_2024-01-05.parquet is an HTML page"),
}
CHECKS = (("landed", "schema_is_known"), ("accepted", "expectations_hold"))
ROWS = ("landed", "accepted", "quarantined", "partials", "aggregates", "features", "labels")
"""The tables of rows: what a test runs that does not look at pictures."""


def spoil(house: House) -> None:
    house.rewrite(SKEWED, drop=["zone"])
    house.file(MISSING).unlink()
    house.rewrite(REJECTED, -pl.col("distance_km"))
    house.file(NOT_PARQUET).write_bytes(b"<html>503 Service Unavailable</html>")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, RunResult]]:
    """Seven days, four of them bad, each in its own way, after one run over all."""
    root = tmp_path_factory.mktemp("mixed") / "home"
    simulate_days(root, *RANGE)
    with open_house(root) as house:
        spoil(house)
        yield house, house.run(keys=RANGE)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a closed house with three good days, run once."""
    root = tmp_path_factory.mktemp("clean") / "home"
    simulate_days(root, "2024-01-01", "2024-01-03")
    with open_house(root) as house:
        assert house.run(*ROWS, keys=("2024-01-01", "2024-01-03")).success
    return root


def statuses(house: House, name: str, check: str) -> list[AssetCheckExecutionRecordStatus]:
    history = house.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(house.key(name), check), limit=1_000
    )
    return [record.status for record in history]


@pytest.mark.parametrize("name", DATA)
def test_the_neighbours_of_a_bad_partition_go_all_the_way(mixed: tuple[House, RunResult], name: str) -> None:
    house, result = mixed

    records = house.tables.records(house.pipeline, name)

    assert [key for key, record in records.items() if record.status == "ok" and key in GOOD] == GOOD
    assert [key for key in house.materialized(name, result.run_id) if key in GOOD] == GOOD


@pytest.mark.parametrize("name", ["profile", "features", "labels"])
def test_a_bad_partition_writes_nothing_downstream(mixed: tuple[House, RunResult], name: str) -> None:
    house, _ = mixed

    assert list(house.tables.records(house.pipeline, name)) == GOOD
    assert list(house.hashes([name])[name]) == GOOD


@pytest.mark.parametrize("name", DATA)
def test_a_bad_partition_has_no_materialization_event(mixed: tuple[House, RunResult], name: str) -> None:
    house, result = mixed
    landed_yet_rejected = [REJECTED] if name == "landed" else []

    assert house.materialized(name) == house.materialized(name, result.run_id) == sorted(GOOD + landed_yet_rejected)
    assert house.instance.get_materialized_partitions(house.key(name)) == {*GOOD, *landed_yet_rejected}


@pytest.mark.parametrize("day", BAD)
def test_a_bad_partition_has_a_failed_evaluation_of_its_own_with_the_reason(
    mixed: tuple[House, RunResult], day: str
) -> None:
    house, result = mixed
    name, check, reason = REASONS[day]

    evaluation = house.evaluations(name, check, result.run_id)[day]

    assert not evaluation.passed
    assert evaluation.blocking
    assert evaluation.severity is dg.AssetCheckSeverity.ERROR
    assert reason in str(evaluation.metadata["reason"].value)
    record = house.tables.records(house.pipeline, name)[day]
    assert (record.status, record.reason) == ("blocked", evaluation.metadata["reason"].value)


def test_a_good_partition_has_a_passed_evaluation_with_a_table_of_its_expectations(
    mixed: tuple[House, RunResult],
) -> None:
    house, result = mixed

    for name, check in CHECKS:
        evaluations = house.evaluations(name, check, result.run_id)
        assert {key for key, evaluation in evaluations.items() if evaluation.passed} >= set(GOOD)
        assert None not in evaluations
    accepted = house.evaluations("accepted", "expectations_hold", result.run_id)["2024-01-01"]
    assert "distance_km above 0, at most 30" in str(accepted.metadata["expectations"].value)


@pytest.mark.parametrize(("name", "check"), [*CHECKS, ("landed", "arrives_in_time"), ("features", "is_up_to_date")])
def test_every_planned_evaluation_is_resolved(mixed: tuple[House, RunResult], name: str, check: str) -> None:
    house, _ = mixed

    found = statuses(house, name, check)

    assert found
    assert AssetCheckExecutionRecordStatus.PLANNED not in found


def test_the_run_ends_in_failure_with_the_list_of_the_blocked(mixed: tuple[House, RunResult]) -> None:
    house, result = mixed
    run = house.instance.get_run_by_id(result.run_id)

    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert {error.kind for error in result.errors} == {"PartitionBlocked"}
    for error in result.errors:
        assert "4 of 7 partitions are blocked" in error.message
        assert [day for day in house.pipeline.time.keys(*RANGE) if f"{day} (" in error.message] == BAD


def test_landed_is_accepted_plus_quarantined_for_every_partition(mixed: tuple[House, RunResult]) -> None:
    house, _ = mixed
    rows = {name: house.tables.records(house.pipeline, name) for name in ("landed", "accepted", "quarantined")}

    for day in [*GOOD, REJECTED]:
        assert rows["landed"][day].rows == rows["accepted"][day].rows + rows["quarantined"][day].rows
    assert rows["accepted"][REJECTED].rows == 0


def test_a_blocked_file_is_recorded_with_its_signature_so_that_it_is_asked_for_once(
    mixed: tuple[House, RunResult],
) -> None:
    house, _ = mixed

    records = house.tables.records(house.pipeline, "landed")

    recorded = {key: records[key].provenance["signature"] for key in BAD if key != MISSING}
    assert recorded == house.sources.signatures(house.pipeline, BAD)
    assert records[MISSING].provenance["signature"] is None


@pytest.mark.parametrize("name", ["profile", "features", "labels"])
def test_a_later_run_downstream_of_a_blocked_partition_is_refused_as_well(
    mixed: tuple[House, RunResult], name: str
) -> None:
    house, _ = mixed

    result = house.run(name, keys=(BAD[0], BAD[-1]))

    (error,) = result.errors
    assert error.kind == "PartitionBlocked"
    assert all(f"{day} (landed is " in error.message or f"{day} (accepted is " in error.message for day in BAD)
    assert list(house.tables.records(house.pipeline, name)) == GOOD


def test_a_later_good_file_heals_what_was_blocked(mixed: tuple[House, RunResult], tmp_path: Path) -> None:
    before, _ = mixed
    simulate_days(tmp_path / "city", *RANGE)
    with copy_of(before.home.root, tmp_path / "home") as house, open_house(tmp_path / "city") as city:
        for day in BAD:
            house.file(day).write_bytes(city.file(day).read_bytes())

        result = house.run(*ROWS, keys=(BAD[0], BAD[-1]))

        assert result.success
        for name in ROWS:
            records = house.tables.records(house.pipeline, name)
            assert {key: record.status for key, record in records.items()} == dict.fromkeys(sorted(GOOD + BAD), "ok")
        evaluations = house.evaluations("landed", "schema_is_known", result.run_id)
        assert {key: evaluation.passed for key, evaluation in evaluations.items()} == dict.fromkeys(BAD, True)


def test_running_twice_makes_no_new_revision_and_no_new_table_version(clean: Path, tmp_path: Path) -> None:
    with copy_of(clean, tmp_path / "home") as house:
        versions, hashes = house.versions(), house.hashes(ROWS)
        before = {name: house.tables.records(house.pipeline, name) for name in ROWS}

        result = house.run(*ROWS, keys=("2024-01-01", "2024-01-03"))

        assert result.success
        assert house.versions() == versions
        assert house.hashes(ROWS) == hashes
        for name in ROWS:
            after = house.tables.records(house.pipeline, name)
            assert {k: (r.revision, r.content_hash) for k, r in after.items()} == {
                k: (1, r.content_hash) for k, r in before[name].items()
            }
        assert len(house.materialized("features", result.run_id)) == 3


def test_a_corrected_file_makes_revision_two_of_its_own_partition_only(clean: Path, tmp_path: Path) -> None:
    with copy_of(clean, tmp_path / "home") as house:
        before = house.tables.records(house.pipeline, "features")
        house.rewrite("2024-01-02", pl.col("open_orders") + 1)

        result = house.run(*ROWS, keys=("2024-01-01", "2024-01-03"))

        assert result.success
        for name in ("landed", "accepted", "features"):
            records = house.tables.records(house.pipeline, name)
            assert [record.revision for record in records.values()] == [1, 2, 1]
        after = house.tables.records(house.pipeline, "features")
        assert [key for key in after if after[key].content_hash != before[key].content_hash] == ["2024-01-02"]
        assert house.tables.records(house.pipeline, "labels")["2024-01-02"].revision == 2


def test_a_file_that_goes_bad_keeps_its_rows_and_closes_the_way_to_them(clean: Path, tmp_path: Path) -> None:
    with copy_of(clean, tmp_path / "home") as house:
        hashes = house.hashes(ROWS)
        house.file("2024-01-02").write_bytes(b"cut short")

        result = house.run("landed", keys="2024-01-02")

        assert [error.kind for error in result.errors] == ["PartitionBlocked"]
        before = hashes["landed"].pop("2024-01-02")
        assert house.hashes(ROWS) == hashes
        assert content_hash(house.tables.read(house.pipeline, "landed", {"2024-01-02": 1})) == before
        (refused,) = house.run("accepted", "quarantined", keys="2024-01-02").errors
        assert "landed is blocked" in refused.message


@pytest.mark.slow
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bad=st.sets(st.sampled_from(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"])))
def test_whichever_partitions_are_bad_exactly_the_others_are_written(
    tmp_path_factory: pytest.TempPathFactory, bad: set[str]
) -> None:
    root = tmp_path_factory.mktemp("any") / "home"
    days = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
    simulate_days(root, days[0], days[-1])
    with open_house(root) as house:
        for day in bad:
            house.rewrite(day, pl.col("items").cast(pl.String))

        result = house.run(*ROWS, keys=(days[0], days[-1]))

        assert result.success == (not bad)
        good = [day for day in days if day not in bad]
        assert house.materialized("labels") == list(house.tables.records(house.pipeline, "features")) == good
        evaluations = house.evaluations("landed", "schema_is_known", result.run_id)
        assert {key: evaluation.passed for key, evaluation in evaluations.items()} == {d: d not in bad for d in days}


@given(st.dictionaries(st.integers(0, 400).map("{:03}".format), st.integers(0, 2 * MAX_ROWS)))
def test_batches_hold_every_key_once_in_order_and_stay_small(rows: dict[str, int]) -> None:
    batches = list(batches_of(rows))

    assert [key for batch in batches for key in batch] == sorted(rows)
    for batch in batches:
        assert 1 <= len(batch) <= MAX_PARTITIONS
        assert len(batch) == 1 or sum(rows[key] for key in batch) <= MAX_ROWS
