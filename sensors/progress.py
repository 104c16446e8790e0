"""Progress: what the runs that have not ended are busy with."""

from collections.abc import Iterable

import dagster as dg

from perennial.time import Calendar
from resources.tags import PARTITION, RANGE_END, RANGE_START, RUN_KEY

UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def runs_of(instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey]) -> list[dg.DagsterRun]:
    """The unfinished runs, whoever launched them, that materialize any of `assets`."""
    wanted = set(assets)
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    return [run for run in runs if wanted & set(run.asset_selection or ())]


def keys_under_way(runs: Iterable[dg.DagsterRun], calendar: Calendar) -> dict[str, str]:
    """The partitions that `runs` work on, each with the id of its run."""
    found: dict[str, str] = {}
    for run in runs:
        first, last = run.tags.get(RANGE_START), run.tags.get(RANGE_END)
        if first and last:
            found.update(dict.fromkeys(calendar.keys(first, last), run.run_id))
        elif key := run.tags.get(PARTITION):
            found[key] = run.run_id
    return found


def run_with_key(instance: dg.DagsterInstance, run_key: str) -> dg.DagsterRun | None:
    """The newest run that was asked for under `run_key`: Dagster starts no second one."""
    runs = instance.get_runs(dg.RunsFilter(tags={RUN_KEY: run_key}), limit=1)
    return runs[0] if runs else None
