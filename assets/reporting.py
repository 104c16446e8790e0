"""Reporting: the materializations of one step, stored a commit's worth at a time.

An event stored by itself is a transaction of its own. Those of one commit are stored together where the
instance's event log knows batches (`resources/event_log.py`, Postgres), and one by one elsewhere.
"""

from typing import Any

import dagster as dg
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
