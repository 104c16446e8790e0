"""Checks: a check that failed in a run that succeeded is told to a person, and the alert ends when it passes.

A failed run has an alert of its own (`sensors/alerts.py`), and a gate's no is a decision: neither is told
here. Evaluations are read once each, in the order in which they were stored, and of one check and partition
the last counts; one of a run that has not ended waits, by its storage id, so that a long run holds up nobody.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dagster as dg

from perennial.settings import Home
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Tables
from resources.runs import UNFINISHED

FAILED, WARNS = "failed_check", "check_warns"
"""Kinds of alerts: of a check of severity ERROR, and of one that only warns."""
DECISIONS = ("dossier",)
"""Assets whose checks are gates: a refusal is in the ledger."""
MOST = 2_000
"""Evaluations read in one tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One evaluation and where it was stored."""

    id: int
    run_id: str
    evaluation: dg.AssetCheckEvaluation

    @property
    def pipeline(self) -> str:
        return self.evaluation.asset_key.path[0]

    @property
    def key(self) -> str:
        """What an alert about it is about."""
        return " ".join(filter(None, [self._asset, self.evaluation.check_name, self.evaluation.partition]))

    @property
    def is_decision(self) -> bool:
        """Whether it is a gate's."""
        return self.evaluation.asset_key.path[-1] in DECISIONS

    @property
    def kind(self) -> str:
        return FAILED if self.evaluation.severity is dg.AssetCheckSeverity.ERROR else WARNS

    @property
    def _asset(self) -> str:
        return "/".join(self.evaluation.asset_key.path)

    def message(self, home: Home) -> str:
        """What failed, why, and where to look, in one line."""
        found = self.evaluation
        of = " ".join(filter(None, [self._asset, found.partition]))
        run = f"run {home.dagster_ui}/runs/{self.run_id}, " if self.run_id else ""
        look = f"{run}asset {home.dagster_ui}/assets/{self._asset}?view=checks"
        return f"{found.check_name} of {of} fails: {found.description or 'it gave no reason'} ({look})"


def build_failed_checks() -> dg.SensorDefinition:
    """Build the sensor that raises and closes the alerts of failed checks of the code location."""

    @dg.sensor(
        name="failed_checks",
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Raises an alert for a check that failed in a run that succeeded; closes it when the check passes.",
    )
    def failed_checks(
        context: dg.SensorEvaluationContext,
        tables: dg.ResourceParam[Tables],
        home: dg.ResourceParam[Home],
        clock: dg.ResourceParam[Clock],
    ) -> dg.SensorResult:
        cursor = json.loads(context.cursor or '{"after": 0, "waiting": []}')
        new = _stored(context.instance, after_cursor=cursor["after"], limit=MOST)
        waited = _stored(context.instance, storage_ids=cursor["waiting"]) if cursor["waiting"] else []
        ended = _ended(context.instance, {one.run_id for one in [*waited, *new] if not one.evaluation.passed})

        last = {one.key: one.id for one in sorted([*waited, *new], key=lambda one: one.id)}
        failing = [one for one in [*waited, *new] if not one.evaluation.passed and not one.is_decision]
        waiting = [one.id for one in failing if one.run_id and one.run_id not in ended]
        said = []
        for one in failing:
            settled = one.id in waiting or not ended.get(one.run_id, True)
            if not settled and last[one.key] == one.id and _stands(context.instance, one):
                tables.operations.raise_alert(one.pipeline, one.kind, one.key, one.message(home), at=clock.now())
                said.append(f"raised {one.key}")
        said += _close(tables, [one for one in new if one.evaluation.passed and last[one.key] == one.id], clock)

        after = max([cursor["after"], *(one.id for one in new)])
        return dg.SensorResult(
            skip_reason="; ".join(said) or f"{len(new)} evaluations read, {len(waiting)} wait for their run",
            cursor=json.dumps({"after": after, "waiting": waiting}),
        )

    return failed_checks


def _stored(instance: dg.DagsterInstance, *, limit: int | None = None, **which: object) -> list[Stored]:
    """Evaluations in the order of their storage ids, from the index that all runs share."""
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

    asked = dg.EventRecordsFilter(dg.DagsterEventType.ASSET_CHECK_EVALUATION, **which)  # type: ignore[arg-type]
    storage = instance.event_log_storage
    # SQLite's own method reads the file of every run; the index holds a copy of each evaluation, as Postgres does.
    records = SqlEventLogStorage.get_event_records(storage, asked, limit=limit, ascending=True)  # type: ignore[arg-type]
    return [
        Stored(id=record.storage_id, run_id=record.run_id, evaluation=event.asset_check_evaluation_data)
        for record in records
        if (event := record.event_log_entry.dagster_event) is not None
    ]


def _ended(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> dict[str, bool]:
    """Whether each run that has ended succeeded; one that nobody knows was reported without a run."""
    wanted = sorted(filter(None, run_ids))
    runs = {run.run_id: run for run in instance.get_runs(dg.RunsFilter(run_ids=wanted))} if wanted else {}
    return {
        run_id: run_id not in runs or runs[run_id].is_success
        for run_id in wanted
        if run_id not in runs or runs[run_id].status not in UNFINISHED
    }


def _stands(instance: dg.DagsterInstance, one: Stored) -> bool:
    """Whether nothing later has been found by the same check for the same partition.

    Dagster's rows of executions are in the order in which these were planned: one that is found late counts late.
    """
    import sqlalchemy as sa
    from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

    rows, found = AssetCheckExecutionsTable.c, one.evaluation
    newest = sa.select(sa.func.max(rows.evaluation_event_storage_id)).where(
        rows.asset_key == found.asset_key.to_string(),
        rows.check_name == found.check_name,
        rows.partition.is_(None) if found.partition is None else rows.partition == found.partition,
        rows.execution_status.in_([status.value for status in COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES]),
    )
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        return (connection.execute(newest).scalar() or 0) <= one.id


def _close(tables: Tables, passed: Sequence[Stored], clock: Clock) -> list[str]:
    """Close what `passed` settles: alerts about the same partition, and those that only warned of an earlier one."""
    if not passed:
        return []
    keys = {(one.pipeline, one.key) for one in passed}
    last = {(one.pipeline, *one.key.split(" ")[:2]): one.evaluation.partition or "" for one in passed}
    closed = []
    for alert in tables.operations.open_alerts():
        about = alert.key.split(" ")
        later = alert.kind == WARNS and last.get((alert.pipeline, *about[:2]), "") > "".join(about[2:])
        if alert.kind in {FAILED, WARNS} and ((alert.pipeline, alert.key) in keys or later):
            tables.operations.close_alert(alert.pipeline, alert.kind, alert.key, at=clock.now())
            closed.append(f"closed {alert.key}")
    return closed
