"""Reporting: the materializations of one step and what its check found, stored a commit's worth at a time.

An event stored by itself is a transaction of its own. Those of one commit are stored together where the
instance's event log knows batches (`resources/event_log.py`, Postgres), and one by one elsewhere.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata, generate_event_batch_id


class Materializations:
    """What one step says that it wrote, in the order in which it says so."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self.context = context
        self.together = False
        """Whether to keep what is added until `store`."""
        self._kept: dict[dg.AssetKey, list[dg.AssetMaterialization]] = {}

    def add(self, materialization: dg.AssetMaterialization) -> None:
        """Store it, now or with the others."""
        self._kept.setdefault(materialization.asset_key, []).append(materialization)
        if not self.together:
            self.store()

    def store(self) -> None:
        """Store what is kept, a batch for each asset: Dagster takes the last of a batch for the asset's newest."""
        kept, self._kept = self._kept, {}
        for batch in kept.values():
            self._store_batch(batch)

    def _store_batch(self, batch: list[dg.AssetMaterialization]) -> None:
        step: Any = self.context.get_step_execution_context()
        name = str(generate_event_batch_id())  # type: ignore[no-untyped-call]
        events = [
            DagsterEvent.asset_materialization(step, each, DagsterEventBatchMetadata(name, each is batch[-1]))
            for each in batch
        ]
        self.context.op_execution_context._events.extend(events)  # noqa: SLF001 - as `log_event` does for one event


class Evaluations:
    """What the check of one step found, partition by partition."""

    def __init__(self, context: dg.AssetExecutionContext, asset: dg.AssetKey, check: str | None) -> None:
        self.context = context
        self.asset = asset
        self.check = check
        self._found: dict[str, Mapping[str, Any]] = {}

    def add(self, key: str, found: Mapping[str, Any]) -> None:
        """Keep what the check `found` in partition `key` until `store`."""
        self._found[key] = found

    def store(self) -> None:
        """Write down what is kept, each bound to the materialization that it judges: without that, the UI takes
        the partition for one that was never checked.
        """
        targets = self._targets() if self._found else {}
        for key, found in self._found.items():
            self.context.log_event(
                dg.AssetCheckEvaluation(
                    asset_key=self.asset,
                    check_name=str(self.check),
                    partition=key,
                    target_materialization_data=targets.get(key),
                    **found,
                )
            )
        self._found.clear()

    def _targets(self) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
        """The latest materialization of each partition that the check has judged."""
        instance, judged = self.context.instance, dg.DagsterEventType.ASSET_MATERIALIZATION
        latest = instance.get_latest_storage_id_by_partition(self.asset, judged, set(self._found))
        if not latest:
            return {}
        asked = dg.AssetRecordsFilter(asset_key=self.asset, storage_ids=list(latest.values()))
        return {
            str(record.partition_key): AssetCheckEvaluationTargetMaterializationData(
                storage_id=record.storage_id, run_id=record.event_log_entry.run_id, timestamp=record.timestamp
            )
            for record in instance.fetch_materializations(asked, limit=len(latest)).records
        }


def forget_planned(context: dg.AssetExecutionContext, checks: Iterable[dg.AssetCheckKey]) -> None:
    """Take back the plan to evaluate `checks`, which look at all partitions at once, in each partition of the run.

    Dagster 1.13 plans so whatever the check says, and shows what was planned and never came as a failed execution.
    """
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

    storage, columns = context.instance.event_log_storage, AssetCheckExecutionsTable.c
    if not isinstance(storage, SqlEventLogStorage):
        return
    planned = (
        columns.run_id == context.run.run_id,
        columns.execution_status == AssetCheckExecutionRecordStatus.PLANNED.value,
        columns.partition.is_not(None),
    )
    with storage.index_connection() as connection:
        for key in checks:
            check = (columns.asset_key == key.asset_key.to_string(), columns.check_name == key.name)
            connection.execute(AssetCheckExecutionsTable.delete().where(*planned, *check))
