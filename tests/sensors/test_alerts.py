"""Alerts: a failed run is told once; a refusal is a decision, and a run that is tried again is not over."""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from assets.partitioning import partitions_of
from perennial.errors import PartitionBlocked
from resources.blocked import blocked_in, blocked_line
from resources.runs import run_assets
from resources.tags import REASON, Keys
from sensors.alerts import build_failed_runs, build_mended_runs
from tests.ended import told_of
from tests.eta import DATA
from tests.sensors.conftest import NOW, World

GATE = dg.AssetCheckSpec("parity", asset=["eta", "dossier"], blocking=True)


DISK = {"full": True}


def write() -> None:
    if DISK["full"]:
        raise ValueError("the disk is full")


@dg.asset(key=["eta", "landed"])
def landed() -> None:
    write()


@dg.asset(key=["eta", "training_set"])
def training_set() -> None:
    write()


@dg.asset(key=["eta", "dossier"], check_specs=[GATE])
def dossier() -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    yield dg.MaterializeResult()
    yield dg.AssetCheckResult(check_name="parity", passed=False)


@dg.asset(key=["eta", "release"], deps=[["eta", "dossier"]])
def release() -> None:
    raise dg.Failure("refused: the champion changed", allow_retries=False)


@dg.asset(key=["eta", "disk"])
def disk() -> None:
    write()


DEFINITIONS = dg.Definitions(assets=[landed, training_set, dossier, release], executor=dg.in_process_executor)


def block_a_day(world: World, *, asset: str = "accepted", beside: str | None = None) -> dg.DagsterRun:
    """A run of three days whose second is blocked at `asset`, with an asset `beside` it, and its alert."""
    blocked = "2024-01-02"

    @dg.multi_asset(
        name="judged",
        specs=[dg.AssetSpec(["eta", name], partitions_def=partitions_of(world.pipeline.time)) for name in DATA],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def judged(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        context.log.info(blocked_line("eta", "2024-01-01", asset, "as it is said of a day that is not"))
        context.log.error(blocked_line("eta", blocked, asset, "a test"))
        yield from ()
        raise PartitionBlocked("1 of 3 partitions are blocked", where="eta")

    named = {"training_set": training_set, "disk": disk}
    more = [named[beside]] if beside else []
    definitions = dg.Definitions(assets=[judged, *more], executor=dg.in_process_executor)
    keys = [dg.AssetKey(["eta", name]) for name in [*DATA, *([beside] if beside else [])]]
    result = run_assets(world.instance, definitions, keys, ("2024-01-01", "2024-01-03"), tags={REASON: "a test"})
    run = world.instance.get_run_by_id(result.run_id)
    assert run is not None
    tell(world, run)
    return run


def execute(world: World, *names: str, keys: Keys) -> dg.DagsterRun:
    assets = [dg.AssetKey(["eta", name]) for name in names]
    result = run_assets(world.instance, DEFINITIONS, assets, keys, tags={REASON: "a test"})
    run = world.instance.get_run_by_id(result.run_id)
    assert run is not None
    return run


def fail(world: World, *names: str, keys: Keys = "2024-01-01") -> dg.DagsterRun:
    run = execute(world, *names, keys=keys)
    assert run.is_failure
    return run


def succeed(world: World, monkeypatch: pytest.MonkeyPatch, *names: str, keys: Keys) -> Any:
    """What the sensor says of a run that now succeeds."""
    monkeypatch.setitem(DISK, "full", False)
    return told_mended(world, execute(world, *names, keys=keys))


def told_mended(world: World, run: dg.DagsterRun) -> Any:
    """What the sensor says of a run that succeeded."""
    sensor = build_mended_runs([world.pipeline])
    return told_of(sensor, world.instance, run.run_id, world.given(sensor.required_resource_keys))


def tell(world: World, run: dg.DagsterRun) -> Any:
    """What the sensor says of a failed run."""
    sensor = build_failed_runs([world.pipeline])
    return told_of(sensor, world.instance, run.run_id, world.given(sensor.required_resource_keys))


def test_a_failed_run_raises_one_alert_with_its_cause_and_reason(world: World) -> None:
    run = fail(world, "landed")

    tell(world, run)
    tell(world, run)

    (alert,) = world.operations.open_alerts("eta")
    assert alert.key == run.run_id
    assert alert.kind == "failed_run"
    assert alert.message == f"run {run.run_id} failed: eta__landed: the disk is full (started for: a test)"


@pytest.mark.parametrize("refused", ["dossier", "release"])
def test_a_refusal_raises_no_alert(world: World, refused: str) -> None:
    answer = tell(world, fail(world, refused))

    assert world.operations.open_alerts() == []
    assert "was refused" in answer.skip_message


def test_a_refusal_beside_a_failure_is_a_failure(world: World) -> None:
    tell(world, fail(world, "dossier", "landed"))

    assert len(world.operations.open_alerts("eta")) == 1


def test_a_run_that_is_tried_again_raises_no_alert(world: World) -> None:
    run = fail(world, "landed")
    world.instance.add_run_tags(run.run_id, {"dagster/will_retry": "true"})

    answer = tell(world, run)

    assert "is tried again" in answer.skip_message
    assert world.operations.open_alerts() == []


def test_a_run_that_was_tried_again_in_vain_is_one_alert_with_the_first(world: World) -> None:
    first = fail(world, "landed")
    again = world.instance.create_run_for_job(
        DEFINITIONS.resolve_implicit_global_asset_job_def(),
        root_run_id=first.run_id,
        parent_run_id=first.run_id,
        asset_selection=first.asset_selection,
        tags=first.tags,
    )
    world.instance.report_run_failed(again)

    tell(world, first)
    answer = tell(world, again)

    assert f"alert raised: run {again.run_id} failed" in answer.skip_message
    assert [alert.key for alert in world.operations.open_alerts()] == [first.run_id]


@pytest.mark.parametrize(
    ("failed", "succeeded", "keys", "mended"),
    [
        (("landed",), ("landed",), "2024-01-02", True),
        (("landed",), ("landed", "training_set"), ("2024-01-01", "2024-01-05"), True),
        (("landed",), ("landed",), "2024-01-03", False),
        (("landed",), ("training_set",), "2024-01-02", False),
        (("landed", "training_set"), ("landed",), "2024-01-02", False),
        (("training_set",), ("training_set",), "2024-01-03", True),
        (("training_set",), ("training_set",), "2024-01-01", False),
    ],
)
def test_an_alert_ends_when_a_later_run_does_the_work_of_the_failed_one(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    failed: tuple[str, ...],
    succeeded: tuple[str, ...],
    keys: Keys,
    mended: bool,
) -> None:
    run = fail(world, *failed, keys="2024-01-02")
    tell(world, run)

    answer = succeed(world, monkeypatch, *succeeded, keys=keys)

    assert (world.operations.open_alerts("eta") == []) == mended
    assert (run.run_id in answer.skip_message) == mended


def test_a_run_that_began_before_the_one_that_failed_mends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DISK, "full", False)
    before = execute(world, "landed", keys="2024-01-01")
    monkeypatch.setitem(DISK, "full", True)
    run = fail(world, "landed")
    tell(world, run)

    told_mended(world, before)

    assert [alert.key for alert in world.operations.open_alerts("eta")] == [run.run_id]


def test_what_a_run_blocked_is_read_back_from_its_log_and_nothing_of_one_that_failed_otherwise(world: World) -> None:
    blocked, broken, both = block_a_day(world), fail(world, "landed"), block_a_day(world, beside="disk")

    assert blocked_in(world.instance, blocked.run_id) == {"2024-01-02": {"accepted"}}
    assert blocked_in(world.instance, broken.run_id) == blocked_in(world.instance, both.run_id) == {}


@pytest.mark.parametrize("still", [(), ("2024-01-02",)])
def test_the_alert_of_a_run_that_only_blocked_ends_when_what_it_blocked_stands_whatever_mended_it(
    world: World, monkeypatch: pytest.MonkeyPatch, still: tuple[str, ...]
) -> None:
    run = block_a_day(world)
    world.fill("2024-01-01", "2024-01-02", blocked=still)

    answer = succeed(world, monkeypatch, "training_set", keys="2023-12-31")

    assert (run.run_id in answer.skip_message) == (not still)
    assert len(world.operations.open_alerts("eta")) == len(still)


def test_that_of_a_training_waits_for_one_though_what_was_blocked_stands(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DISK, "full", False)
    run = block_a_day(world, beside="training_set")
    world.fill("2024-01-01", "2024-01-02")

    succeed(world, monkeypatch, "landed", keys="2023-12-31")
    assert [alert.key for alert in world.operations.open_alerts("eta")] == [run.run_id]


def test_it_ends_too_with_a_run_that_mends_it_and_fails_for_something_else(world: World) -> None:
    run = block_a_day(world)
    world.fill("2024-01-01", "2024-01-02")

    other = fail(world, "training_set", keys="2023-12-31")
    tell(world, other)

    assert run.run_id != other.run_id
    assert [alert.key for alert in world.operations.open_alerts("eta")] == [other.run_id]


def test_what_cannot_be_closed_keeps_no_alert_from_being_raised(world: World) -> None:
    blocked, broken = block_a_day(world), fail(world, "landed")
    with world.operations.writing("test") as transaction:
        transaction.execute(sa.text("DROP TABLE partitions"))

    with pytest.raises(sa.exc.OperationalError, match="no such table: partitions"):
        tell(world, broken)

    assert [alert.key for alert in world.operations.open_alerts("eta")] == [blocked.run_id, broken.run_id]


@pytest.mark.parametrize("mended", [False, True])
def test_a_log_is_read_only_while_the_manifest_holds_something_of_its_run_that_may_be_mended(
    world: World, mended: bool
) -> None:
    run, broken = block_a_day(world), fail(world, "landed")
    world.fill("2024-01-01", "2024-01-02", blocked=() if mended else ("2024-01-01", "2024-01-02"))
    world.fill("2024-01-04")
    log = world.home.dagster / "history" / "runs" / f"{run.run_id}.db"
    log.write_bytes(b"no database " * 1000)

    with pytest.raises(sa.exc.DatabaseError) if mended else nullcontext():
        tell(world, broken)


@pytest.mark.parametrize(("read", "mended"), [(timedelta(days=-1), False), (timedelta(days=10_000), True)])
def test_a_source_that_could_not_be_read_is_to_be_read_again_although_its_old_rows_stand(
    world: World, monkeypatch: pytest.MonkeyPatch, read: timedelta, mended: bool
) -> None:
    block_a_day(world, asset="landed")
    monkeypatch.setattr("tests.sensors.conftest.NOW", NOW + read)
    world.fill("2024-01-02")

    succeed(world, monkeypatch, "training_set", keys="2023-12-31")

    assert (world.operations.open_alerts("eta") == []) == mended
