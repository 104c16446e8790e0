"""The event log of one machine answers as Dagster's own does, with batches or without."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from resources.event_log import BatchingEventLog
from resources.instance import open_instance

DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-08")
KEY = dg.AssetKey(["eta", "landed"])


@pytest.fixture
def events(home):
    """Return the stored events of a real run over a week, planned ones and materializations."""

    @dg.multi_asset(
        specs=[dg.AssetSpec(KEY, partitions_def=DAYS)],
        check_specs=[dg.AssetCheckSpec("holds", asset=KEY)],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def landed(context):
        for day in context.partition_keys:
            context.log_event(dg.AssetMaterialization(KEY, partition=day, metadata={"rows": 1}))
        yield dg.MaterializeResult(KEY, check_results=[dg.AssetCheckResult(passed=True)])

    tags = {"dagster/asset_partition_range_start": "2024-01-01", "dagster/asset_partition_range_end": "2024-01-07"}
    with open_instance(home, os.environ) as instance:
        job = dg.Definitions(assets=[landed]).resolve_implicit_global_asset_job_def()
        run = job.execute_in_process(instance=instance, tags=tags)
        return instance.all_logs(run.run_id)


def test_the_instance_of_a_home_stores_batches(home):
    with open_instance(home, os.environ) as instance:
        assert isinstance(instance.event_log_storage, BatchingEventLog)
        assert int(os.environ["DAGSTER_EVENT_BATCH_SIZE"]) > 1


def test_a_batch_answers_as_events_stored_one_by_one_by_dagster(tmp_path, events):
    ours, theirs = BatchingEventLog(str(tmp_path / "ours")), SqliteEventLogStorage(str(tmp_path / "theirs"))

    ours.store_event_batch(events)
    for event in events:
        theirs.store_event(event)

    assert _seen(ours, events[0].run_id) == _seen(theirs, events[0].run_id)
    assert len(_seen(ours, events[0].run_id)["materialized"]) == 7


def test_a_batch_that_fails_leaves_nothing(tmp_path: Path, events):
    log = BatchingEventLog(str(tmp_path))
    no_event: Any = "not an event"

    with pytest.raises(Exception, match="EventLogEntry"):
        log.store_event_batch([*events, no_event])

    assert log.get_logs_for_run(events[0].run_id) == []
    assert log.get_materialized_partitions(KEY) == set()


def _seen(log, run_id):
    checks = log.get_asset_check_execution_history(dg.AssetCheckKey(KEY, "holds"), limit=50)
    return {
        "log": log.get_logs_for_run(run_id),
        "materialized": log.get_materialized_partitions(KEY),
        "latest": log.get_latest_storage_id_by_partition(KEY, dg.DagsterEventType.ASSET_MATERIALIZATION),
        "newest": [record.asset_entry.last_materialization for record in log.get_asset_records([KEY])],
        "checks": [(check.run_id, check.status, check.partition) for check in checks],
    }
