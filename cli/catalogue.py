"""Catalogue: the features of every pipeline, shown, or written as a page of the documentation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from perennial.settings import CLONE

PAGE = CLONE / "docs" / "features.md"


def catalogue(
    pipeline: Annotated[str | None, typer.Argument(help="Name of a pipeline; all of them by default.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write docs/features.md of the clone instead.")] = False,
) -> None:
    """Show each feature with its definition, version, owner, source columns, window, default and use.

    Where a version serves: whether it reads the feature, how important that is to it, and what it costs.
    """
    from rich.table import Table

    from cli.console import open_console
    from perennial.featurization.catalogue import catalogue_of, rows_of
    from perennial.settings import find_home
    from perennial.stores.models.versions import serving_of
    from pipelines.discovery import discover
    from resources.stores import open_operations

    discovered = discover()
    if write:
        typer.echo(f"wrote {write_page(PAGE)}")
        return
    operations = open_operations(find_home(os.environ))
    shown = [discovered.named(pipeline)] if pipeline else discovered.pipelines
    with open_console() as console:
        for each in shown:
            serving = serving_of(each, operations.champion(each.name))
            rows = list(rows_of(catalogue_of(each), serving))
            listed = Table(*rows[0], title=each.name)
            for row in rows:
                listed.add_row(*("" if value is None else str(value).strip("`") for value in row.values()))
            console.print(listed)


def write_page(page: Path) -> Path:
    """Write the catalogue of every discovered pipeline to `page`."""
    from perennial.featurization.catalogue import page_of
    from pipelines.discovery import discover

    page.write_text(page_of(discover().pipelines), encoding="utf-8")
    return page
