"""Train: one training of a pipeline, from its rows to its release."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dagster import EventLogEntry
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

    from cli.session import Session
    from perennial.declaration import Pipeline
    from resources.runs import RunResult

RELEASED, FAILED, REFUSED = 0, 1, 3
"""Exit codes."""


def train(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline.")],
    as_of: Annotated[str, typer.Argument(help="Last partition to learn from, such as 2024-02-29 or 2023-12.")],
) -> None:
    """Train, judge and release a version as of the end of a partition.

    Exit code 0: it serves. 3: it was refused, with the reason. 1: the training failed.
    """
    from cli.console import open_console
    from cli.session import open_session

    with open_session() as session, open_console() as console:
        code = train_as_of(session, session.pipeline(pipeline), as_of, console=console)
    raise typer.Exit(code)


def train_as_of(session: Session, pipeline: Pipeline, as_of: str, *, console: Console) -> int:
    """Run the training assets for one as-of, show what came of it, and return the exit code."""
    from rich.text import Text

    from perennial.graph.ranges import keys_between
    from resources.failures import is_refused

    keys_between(pipeline.time, as_of, as_of, where=pipeline.name)
    result = _run(session, pipeline, as_of, console)

    refused = is_refused(result.errors)
    if not result.success and not refused:
        for error in result.errors:
            console.print(Text(str(error), style="red"), soft_wrap=True)
        console.print(Text(f"the training failed; run {result.run_id} has its log", style="red"))
        return FAILED
    if not any(error.asset == "training_set" for error in result.errors):  # else nothing was trained
        _show_candidates(session, pipeline, as_of, console)
        _show_gates(session, pipeline, as_of, console)
    return _show_outcome(session, pipeline, result, refused, console)


def _run(session: Session, pipeline: Pipeline, as_of: str, console: Console) -> RunResult:
    import dagster as dg
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    from cli.session import actor
    from perennial.graph.stages import training_assets
    from resources.runs import run_assets
    from resources.tags import ACTOR, REASON

    names = training_assets(pipeline)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(names[0], total=len(names))
        return run_assets(
            session.instance,
            session.definitions,
            [dg.AssetKey([pipeline.name, name]) for name in names],
            as_of,
            tags={REASON: f"train as of {as_of}", ACTOR: actor()},
            on_event=_follow(progress, bar),
        )


def _follow(progress: Progress, bar: TaskID) -> Callable[[EventLogEntry], None]:
    def on_event(entry: EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None or event.step_key is None:
            return
        if event.is_step_start:
            progress.update(bar, description=event.step_key.rpartition("__")[2])
        elif event.is_step_success:
            progress.advance(bar)

    return on_event


def _show_candidates(session: Session, pipeline: Pipeline, as_of: str, console: Console) -> None:
    from resources.stores import STORES

    artifacts = STORES["artifacts"](session.home)
    chosen = json.loads(artifacts.get(pipeline.name, as_of, "selected")["choice.json"])["candidate"]
    found = {c.name: artifacts.get(pipeline.name, as_of, c.name)["trial.json"] for c in pipeline.candidates}
    metrics = {name: json.loads(content)["metrics"] for name, content in found.items()}
    console.print(candidate_table(metrics, chosen, title=f"{pipeline.name} as of {as_of}"))


def candidate_table(metrics: Mapping[str, Mapping[str, float]], chosen: str, *, title: str) -> Table:
    """The metrics of each candidate, one column a metric; one on validation rows with its interval."""
    from rich.table import Column, Table

    table = Table(Column("candidate", overflow="fold"), title=title, title_justify="left")
    ends = ("_low", "_high")
    names = list(dict.fromkeys(name for row in metrics.values() for name in row if not name.endswith(ends)))
    for name in names:
        split, _, metric = name.partition("_")
        table.add_column(f"{split}\n{metric.replace('_', ' ')}", justify="right", overflow="fold")
    for candidate, row in metrics.items():
        is_chosen = candidate == chosen
        cells = (_cell(row, name) for name in names)
        table.add_row(f"{candidate} ✓" if is_chosen else candidate, *cells, style="bold" if is_chosen else None)
    return table


def _cell(row: Mapping[str, float], name: str) -> str:
    """A metric, and below it the interval in which it lies where one was estimated and it chooses."""
    if name not in row:
        return ""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    judges = name.startswith("validation_") and low is not None and high is not None
    return f"{row[name]:.3f}" + (f"\n{low:.3f} to {high:.3f}" if judges else "")


def _show_gates(session: Session, pipeline: Pipeline, as_of: str, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    from perennial.stores.models.versions import bundle_of
    from resources.stores import STORES, open_operations

    sha256 = bundle_of(STORES["artifacts"](session.home), pipeline, as_of)
    dossier = open_operations(session.home).dossier(pipeline.name, sha256)
    table = Table("gate", "verdict", "why", title=f"bundle {sha256[:12]}", title_justify="left")
    for verdict in dossier.verdicts if dossier else ():
        style = "green" if verdict.passed else "red"
        table.add_row(verdict.gate, Text(verdict.outcome, style=style), Text(verdict.reason))
    console.print(table)


def _show_outcome(session: Session, pipeline: Pipeline, result: RunResult, refused: bool, console: Console) -> int:
    from rich.text import Text

    from resources.failures import failed_checks
    from resources.stores import open_operations

    if refused:
        for why in failed_checks(session.instance, result.run_id) or [error.message for error in result.errors]:
            console.print(Text(f"refused: {why}", style="red"), soft_wrap=True)
        return REFUSED
    champion = open_operations(session.home).champion(pipeline.name)
    serving = f"version {champion.number} (as of {champion.as_of}) serves" if champion else "nothing serves"
    console.print(f"{pipeline.name}: {serving}")
    return RELEASED
