"""Simulate: lets a pipeline's simulated world write its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.errors import PerennialError

if TYPE_CHECKING:
    from rich.console import Console

    from perennial.declaration import Pipeline


def simulate(
    until: Annotated[str, typer.Option(help="Last day to simulate, such as 2024-02-29.")],
    pipeline: Annotated[str, typer.Option(help="Pipeline whose source to write.")] = "delivery_eta",
) -> None:
    """Write the source's files up to a day; days that are there stay as they are."""
    from cli.console import open_console
    from perennial.settings import find_home
    from pipelines.discovery import discover

    named, last, home = discover().named(pipeline), _day(until), find_home(os.environ)
    with open_console() as console:
        written, folder = simulate_source(named, last, home=home.root, console=console)
    typer.echo(f"{len(written)} days written to {folder}")


def simulate_source(pipeline: Pipeline, until: date, *, home: Path, console: Console) -> tuple[list[Path], Path]:
    """Let the world of `pipeline` write its days up to `until`; what was written, and where."""
    from rich.progress import Progress

    from perennial.stores.sources import Sources

    world = _world_of(pipeline)
    folder = Sources(home=home).folder(pipeline)
    first = date.fromisoformat(pipeline.time.start)
    with Progress(console=console) as progress:
        task = progress.add_task("simulate", total=max((until - first).days + 1, 0))
        written = world(folder, first, until, on_day=lambda _: progress.advance(task))
    return written, folder


def _world_of(pipeline: Pipeline) -> Callable[..., list[Path]]:
    from world.files import simulate as simulate_city

    worlds: Mapping[str, Callable[..., list[Path]]] = {"delivery_eta": simulate_city}
    name = pipeline.source.simulated_by
    if name is None or name not in worlds:
        raise PerennialError(
            "its source is not simulated",
            where=pipeline.name,
            found=f"simulated_by={name!r}",
            expected=f"one of {', '.join(worlds)}",
        )
    return worlds[name]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise PerennialError("not a day", where="simulate", found=repr(text), expected="such as 2024-02-29") from None
