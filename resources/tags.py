"""Tags: what a run says of itself, and which partitions it covers."""

from __future__ import annotations

REASON = "perennial/reason"
"""Why it was started, in words."""
ACTOR = "perennial/actor"
"""Who started it."""
PROCESS = "perennial/process"
"""Number of the process that executes it, from its creation on; its first engine event says it later."""
PARTITION = "dagster/partition"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
RUN_KEY = "dagster/run_key"
WILL_RETRY = "dagster/will_retry"
MOST_CHARACTERS = 500
"""Of a reason as a tag; the ledger holds all of it."""

Keys = str | tuple[str, str]
"""One partition, or the first and the last of a range."""


def partition_tags(keys: Keys) -> dict[str, str]:
    """The tags by which Dagster knows the partition, or the range of them, that a run covers."""
    first, last = (keys, keys) if isinstance(keys, str) else keys
    return {PARTITION: first} if first == last else {RANGE_START: first, RANGE_END: last}


def reason_tag(reason: str) -> dict[str, str]:
    """The tag that says why a run was asked for."""
    return {REASON: reason[:MOST_CHARACTERS]}
