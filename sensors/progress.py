"""Progress: what the runs that have not ended are busy with."""

from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg

from perennial.time import Calendar
from resources.runs import UNFINISHED
from resources.tags import PARTITION, RANGE_END, RANGE_START, RUN_KEY, WILL_RETRY

MOST_ATTEMPTS = 3
"""Runs that a sensor asks for on the same evidence when they fail, each with its own retries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Whether what was asked for under a run key may be asked for now."""

    key: str | None
    """To ask under; None when it is not to be asked for again."""
    earlier: dg.DagsterRun | None
    """The newest run that was asked for."""

    @property
    def succeeded(self) -> bool:
        """Whether the newest run has done what it was asked for."""
        return self.earlier is not None and self.earlier.status is dg.DagsterRunStatus.SUCCESS

    @property
    def ended(self) -> str:
        """What became of the newest run, in words."""
        if self.earlier is None:
            return "no run was asked for"
        return f"run {self.earlier.run_id[:8]} was asked for on the same evidence and is {self._state(self.earlier)}"

    def _state(self, run: dg.DagsterRun) -> str:
        again = "; it is tried again" if is_tried_again(run) else ""
        return f"{run.status.value.lower()}{again}"


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


def next_attempt(instance: dg.DagsterInstance, run_key: str) -> Attempt:
    """The attempt that follows those made under `run_key`: another when each has failed, and at most MOST_ATTEMPTS."""
    earlier = None
    for number in range(1, MOST_ATTEMPTS + 1):
        key = run_key if number == 1 else f"{run_key}/attempt-{number}"
        run = run_with_key(instance, key)
        if run is None:
            return Attempt(key=key, earlier=earlier)
        earlier = run
        if run.status is not dg.DagsterRunStatus.FAILURE or is_tried_again(run):
            break
    return Attempt(key=None, earlier=earlier)


def is_tried_again(run: dg.DagsterRun) -> bool:
    """Whether Dagster itself will start a failed run another time."""
    return run.tags.get(WILL_RETRY) == "true"
