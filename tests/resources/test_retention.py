"""Retention of runs: old ones go with their events, but for those that made what the UI shows now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from perennial.settings import Home
from perennial.stores.operations import Operations
from resources.event_log import BatchingEventLog
from resources.instance import open_instance
from resources.retention import forget_runs

DAYS = dg.StaticPartitionsDefinition(["a", "b"])
KEY = dg.AssetKey(["eta", "landed"])
LATER = datetime.now(UTC) + timedelta(days=400)


@dg.asset(key=KEY, partitions_def=DAYS)
def landed() -> None:
    """An asset."""


@pytest.fixture
def operations(home: Home) -> Operations:
    home.root.mkdir(parents=True)
    operations = Operations(home.operations_url)
    operations.migrate()
    return operations


@pytest.fixture
def instance(home: Home, operations: Operations) -> Iterator[dg.DagsterInstance]:
    with open_instance(home, os.environ) as instance:
        yield instance


def make(instance: dg.DagsterInstance, partition: str) -> str:
    job = dg.Definitions(assets=[landed]).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, partition_key=partition).run_id


def shard(instance: dg.DagsterInstance, run_id: str) -> Path:
    assert isinstance(instance.event_log_storage, BatchingEventLog)
    return Path(instance.event_log_storage.path_for_shard(run_id))


def runs(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def test_a_run_whose_work_was_done_again_goes_and_the_newest_of_each_partition_stays(
    instance: dg.DagsterInstance, operations: Operations
) -> None:
    first, of_b, again = make(instance, "a"), make(instance, "b"), make(instance, "a")
    before = dict(instance.get_latest_storage_id_by_partition(KEY, dg.DagsterEventType.ASSET_MATERIALIZATION))
    held = shard(instance, first).stat().st_size

    report = forget_runs(instance, operations, before=LATER, dry_run=False)

    assert runs(instance) == {of_b, again}
    assert instance.get_latest_storage_id_by_partition(KEY, dg.DagsterEventType.ASSET_MATERIALIZATION) == before
    assert instance.get_materialized_partitions(KEY) == {"a", "b"}
    assert [(done.items, done.size >= held) for done in report.done] == [(1, True)]
    assert not shard(instance, first).exists()
    assert instance.all_logs(again)
    assert make(instance, "a") in runs(instance)


def test_a_dry_run_a_young_run_an_unfinished_one_and_one_with_an_open_alert_stay(
    instance: dg.DagsterInstance, operations: Operations
) -> None:
    first, second, third = make(instance, "a"), make(instance, "a"), make(instance, "a")
    operations.raise_alert("eta", "failed_run", second, "it failed", at=LATER)
    waiting = instance.create_run_for_job(dg.Definitions(assets=[landed]).resolve_implicit_global_asset_job_def())

    assert forget_runs(instance, operations, before=LATER, dry_run=True).size > 0
    assert not forget_runs(instance, operations, before=datetime.now(UTC) - timedelta(days=1), dry_run=False).done
    assert runs(instance) == {first, second, third, waiting.run_id}

    forget_runs(instance, operations, before=LATER, dry_run=False)

    assert runs(instance) == {second, third, waiting.run_id}
