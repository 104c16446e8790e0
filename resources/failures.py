"""Failures: why the steps of a run failed, in the words of the error itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg

from perennial import errors

REFUSALS = frozenset(
    {
        ("training_set", "HistoryTooShort"),
        ("training_set", "NoMatureLabels"),
        ("training_set", "PartitionBlocked"),
        ("training_set", "RuleBroken"),
        ("training_set", "DagsterAssetCheckFailedError"),
        ("dossier", "DagsterAssetCheckFailedError"),
        ("release", "Failure"),
    }
)
"""Asset and error of a no that is a decision, and has its row in the ledger: nothing is broken."""

OURS = frozenset(
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.PerennialError)
)
"""Errors whose message is for people; what caused them is in the run's log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepError:
    """Why a step failed."""

    step: str
    kind: str
    """Name of the error's class."""
    message: str

    @property
    def asset(self) -> str:
        """The name of the asset that was to be made."""
        return self.step.rpartition("__")[2]

    @property
    def is_refusal(self) -> bool:
        """Whether it is one of REFUSALS."""
        return (self.asset, self.kind) in REFUSALS

    def __str__(self) -> str:
        return f"{self.step}: {self.message}"


def step_errors(events: Iterable[dg.DagsterEvent]) -> tuple[StepError, ...]:
    """The error of each failed step, the innermost, or ours that names it in words, without Dagster's wrapping."""
    return tuple(_cause(event) for event in events if event.is_step_failure)


def failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """Why checks failed in a run, of those that say why."""
    logged = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [e.dagster_event.asset_check_evaluation_data for e in logged if e.dagster_event]
    return [f"{each.check_name}: {each.description}" for each in found if not each.passed and each.description]


def is_refused(failed: Iterable[StepError]) -> bool:
    """Whether a run failed for refusals only."""
    listed = list(failed)
    return bool(listed) and all(error.is_refusal for error in listed)


def _cause(event: dg.DagsterEvent) -> StepError:
    step, error = event.step_key or "", event.step_failure_data.error
    if error is None:
        return StepError(step=step, kind="unknown", message="the step failed and left no error")
    while error.cause is not None and error.cls_name not in OURS:
        error = error.cause
    kind, message = error.cls_name or "unknown", error.message.strip()
    head, separator, rest = message.partition(": ")
    return StepError(step=step, kind=kind, message=rest if separator and head.endswith(kind) else message)
