"""Maintain: compacts the lake and forgets what is past its time, but for what a model or a person still needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from perennial.maintenance import Report


def maintain(
    pipeline: Annotated[str, typer.Argument(help="Only the tables of this pipeline.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Compact small files, and remove old versions, pages, bundles and runs that nothing needs any more."""
    from cli.console import open_console
    from perennial.settings import find_home
    from perennial.stores.clock import Clock
    from resources.instance import open_instance
    from resources.upkeep import maintain_home

    home = find_home(os.environ)
    with open_console() as console, open_instance(home, os.environ) as instance:
        report = maintain_home(home, instance, now=Clock().now(), only=pipeline or None, dry_run=dry_run)
        show_report(report, console, dry_run=dry_run)


def retire(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline.")],
    version: Annotated[int, typer.Argument(help="Number of the version.")],
    reason: Annotated[str, typer.Option(help="Why, for the ledger.")] = "asked for on the command line",
) -> None:
    """Give up the table versions that a model was made from; its bundle stays, and it can serve again.

    Exit code 3 when the version serves now or there is none of that number.
    """
    from cli.session import actor
    from perennial.settings import find_home
    from perennial.stores.clock import Clock
    from perennial.stores.lake.maintenance import retire_version
    from resources.stores import open_operations

    operations = open_operations(find_home(os.environ))
    why_not = retire_version(operations, pipeline, version, actor=actor(), reason=reason, at=Clock().now())
    if why_not:
        typer.secho(f"{pipeline}: version {version} is not retired: {why_not}", fg="red", err=True)
        raise typer.Exit(3)
    typer.echo(f"{pipeline}: version {version} is retired; the next maintenance may forget its training data")


def show_report(report: Report, console: Console, *, dry_run: bool) -> None:
    """Print what was done or would be, what is held for whom, and what was refused."""
    from rich.table import Table
    from rich.text import Text

    done = Table("would be done" if dry_run else "done", "where", "items", "frees", "note")
    for one in report.done:
        done.add_row(one.kind, one.where, f"{one.items:,}", bytes_of(one.size), one.note)
    done.add_section()
    done.add_row("all", "", "", bytes_of(report.size), "")
    console.print(done)
    if report.holds:
        held = Table("table", "version", "held by")
        for hold in report.holds:
            held.add_row(hold.table, str(hold.version), hold.holder)
        console.print(held)
    for where, why in report.refused.items():
        console.print(Text(f"left alone: {where}: {why}", style="red"), soft_wrap=True)


def bytes_of(size: int) -> str:
    """A number of bytes as a person reads it.

    >>> bytes_of(1_500_000)
    '1.5 MB'
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"
