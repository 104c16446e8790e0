"""Rollback: returns a pipeline to the last version that served well."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def rollback(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline.")],
    reason: Annotated[str, typer.Option(help="Why, for the ledger.")] = "asked for on the command line",
) -> None:
    """Let the version serve again that served before; the model server follows within 2 seconds.

    Exit code 3 when there is no version to return to.
    """
    from cli.session import actor
    from perennial.deployment import Refusal
    from perennial.settings import find_home
    from perennial.stores.clock import Clock
    from pipelines.discovery import discover
    from resources.stores import STORES, open_operations

    home = find_home(os.environ)
    name = discover().named(pipeline).name
    operations = open_operations(home)
    before = operations.champion(name)

    now = operations.rollback(
        name, actor=actor(), reason=reason, at=Clock().now(), leaving=before.number if before else None
    )

    if isinstance(now, Refusal):
        typer.secho(f"{name}: no rollback: {now.reason}", fg="red", err=True)
        raise typer.Exit(3)
    mirrored = STORES["tracking"](home).mirror_champion(pipeline=name, number=now.number)
    left = f" instead of version {before.number}" if before else ""
    typer.echo(f"{name}: version {now.number} (as of {now.as_of}) serves{left}")
    if not mirrored:
        typer.echo("MLflow is not reachable; its alias follows later")
