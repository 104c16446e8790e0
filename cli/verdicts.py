"""Verdicts: which partitions their history keeps out of training or finds moved, and what a person can do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from perennial.declaration import Pipeline
    from perennial.stores.lake.tables import Tables

MOST_SHOWN = 20
"""Partitions listed in the terminal; the UI has all."""


def kept_out(pipeline: Pipeline, tables: Tables) -> dict[str, str]:
    """Which partitions their history keeps out of training, and why."""
    from perennial.stores.lake.summaries import TABLE, unfit

    records = tables.records(pipeline, TABLE)
    return unfit(tables, pipeline, {key: records[key].revision for key in sorted(records)})


def asking(pipeline: Pipeline, tables: Tables) -> dict[str, str]:
    """Which partitions ask for a new model, and why."""
    from perennial.stores.lake.summaries import TABLE, asks_for_retraining

    records = tables.records(pipeline, TABLE)
    return {key: str(records[key].provenance["reason"]) for key in sorted(records) if asks_for_retraining(records[key])}


def show_verdicts(pipeline: Pipeline, tables: Tables, keys: Collection[str], console: Console) -> None:
    """Print which of `keys` no training reads, with the command, and which vote for a new model, if there are any."""
    from perennial.stores.lake.acknowledgements import way_out

    blocked, voting = (_of(found(pipeline, tables), keys) for found in (kept_out, asking))
    _show(
        console, "that no training reads", {key: f"{why}\n  {way_out(pipeline, key)}" for key, why in blocked.items()}
    )
    _show(console, "that ask for retraining", voting)


def _of(found: Mapping[str, str], keys: Collection[str]) -> dict[str, str]:
    wanted = set(keys)
    return {key: why for key, why in found.items() if key in wanted}


def _show(console: Console, what: str, found: Mapping[str, str]) -> None:
    from rich.text import Text

    if found:
        console.print(f"partitions {what}: {len(found)}")
    for key, why in list(found.items())[:MOST_SHOWN]:
        console.print(Text(f"{key}: {why}", style="yellow"), soft_wrap=True)  # a command can be copied from one line
    if len(found) > MOST_SHOWN:
        console.print(f"… {len(found) - MOST_SHOWN} more: perennial status PIPELINE")
