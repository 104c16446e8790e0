"""Acknowledge: a person's word that a partition is right although it does not resemble its history."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def acknowledge(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline.")],
    partition: Annotated[str, typer.Argument(help="Partition that its history blocks, such as 2024-01-01.")],
    why: Annotated[str, typer.Option(help="What makes it right, for the ledger.")],
) -> None:
    """Let trainings read a partition that its history blocks; holds for its present rows only."""
    from cli.session import actor
    from perennial.graph.ranges import keys_between
    from perennial.settings import find_home
    from perennial.stores.clock import Clock
    from perennial.stores.lake.summaries import acknowledge as record
    from pipelines.discovery import discover
    from resources.stores import open_tables

    declared = discover().named(pipeline)
    keys_between(declared.time, partition, partition, where=declared.name)
    tables = open_tables(find_home(os.environ))
    blocked = record(tables, declared, partition, why, actor=actor(), at=Clock().now())
    typer.echo(f"{declared.name} {partition}: trainings may read it; it was blocked for: {blocked}")
