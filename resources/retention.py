"""Retention: which of Dagster's runs go with their events and logs; what stands in the UI now stays.

A run that is not over, that made the newest materialization of a partition, or that an open alert names, is kept
whatever its age. Sensors forget what they asked for with the runs that are gone: evidence that failed then may be
tried again.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import datetime
from pathlib import Path

import dagster as dg

from perennial.maintenance import Done, Report
from perennial.stores.operations import Operations
from resources.event_log import BatchingEventLog
from resources.runs import UNFINISHED

ENDED = tuple(status for status in dg.DagsterRunStatus if status not in UNFINISHED)
PAGE = 1_000


def forget_runs(instance: dg.DagsterInstance, operations: Operations, *, before: datetime, dry_run: bool) -> Report:
    """Delete the runs that ended before `before` and that nothing shown now comes from; say what that frees."""
    old = list(_ended(instance, before))
    if not old:
        return Report()
    needed = {*_newest_of_each_partition(instance), *(alert.key for alert in operations.open_alerts())}
    doomed = [run_id for run_id in old if run_id not in needed]
    size = sum(_size(instance, run_id) for run_id in doomed)
    if not dry_run:
        for run_id in doomed:
            instance.delete_run(run_id)
            instance.compute_log_manager.delete_logs(prefix=[run_id])
    note = f"{len(old) - len(doomed)} older ones stay: what they made stands"
    return Report(done=[Done(kind="runs", where="dagster", items=len(doomed), size=size, note=note)] if doomed else [])


def _ended(instance: dg.DagsterInstance, before: datetime) -> Iterator[str]:
    """The runs that ended before `before`, oldest first."""
    filters = dg.RunsFilter(statuses=list(ENDED), created_before=before)
    for record in instance.get_run_records(filters, ascending=True):
        if (record.end_time or record.update_timestamp.timestamp()) < before.timestamp():
            yield record.dagster_run.run_id


def _newest_of_each_partition(instance: dg.DagsterInstance) -> Set[str]:
    """The runs that made what the UI shows of each asset and partition."""
    runs: set[str] = set()
    for key in instance.all_asset_keys():
        latest = instance.get_latest_materialization_event(key)
        if latest is not None:
            runs.add(latest.run_id)
        ids = list(instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION).values())
        for start in range(0, len(ids), PAGE):
            asked = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[start : start + PAGE])
            runs.update(record.run_id for record in instance.fetch_materializations(asked, limit=PAGE).records)
    return runs


def _size(instance: dg.DagsterInstance, run_id: str) -> int:
    """Bytes of the files that belong to one run alone; with a database server there are none to count."""
    log = instance.event_log_storage
    shard = [Path(log.path_for_shard(run_id))] if isinstance(log, BatchingEventLog) else []
    logs = Path(instance.root_directory) / "storage" / run_id
    return sum(file.stat().st_size for file in (*shard, *logs.rglob("*")) if file.is_file())
