"""Blocked: what a run says in its log of each partition that it blocks, and what is read back from there.

Dagster keeps a failed run's error as text for people; the log has a line for each partition and asset.
"""

import logging
import re

import dagster as dg

from resources.failures import step_errors

BLOCKED = "PartitionBlocked"
"""Error of a run in which nothing is broken but partitions."""
LINE = re.compile(r"(?P<pipeline>\w+) (?P<key>.+?): (?P<name>\w+) is blocked: ")


def blocked_line(pipeline: str, key: str, name: str, reason: str) -> str:
    """The line about partition `key` of asset `name`."""
    return f"{pipeline} {key}: {name} is blocked: {reason}"


def blocked_in(instance: dg.DagsterInstance, run_id: str) -> dict[str, set[str]]:
    """By partition: the assets that the run blocked, of a run that failed for nothing else; nothing of any other."""
    failures = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    errors = step_errors(entry.dagster_event for entry in failures if entry.dagster_event)
    if not errors or any(error.kind != BLOCKED for error in errors):
        return {}
    found: dict[str, set[str]] = {}
    for entry in instance.all_logs(run_id):
        line = LINE.match(entry.user_message) if entry.level == logging.ERROR and not entry.is_dagster_event else None
        if line:
            found.setdefault(line["key"], set()).add(line["name"])
    return found
