"""Backfill: computes a pipeline's data assets over a range of partitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dagster import AssetKey, EventLogEntry
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from cli.session import Session
    from perennial.declaration import Pipeline
    from perennial.graph.lineage import Standing
    from perennial.stores.lake.tables import Tables
    from perennial.stores.sources import Sources

UNFINISHED = ".simulating"
"""In a source's folder: a simulation that was killed, and that the next backfill goes on with."""
MOST_SHOWN = 20
"""Blocked partitions listed in the terminal; the UI has all."""


def backfill(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline.")],
    first: Annotated[str, typer.Argument(metavar="FROM", help="First partition, such as 2024-01-01 or 2023-01.")],
    last: Annotated[str, typer.Argument(metavar="TO", help="Last partition, included.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Compute all of the range, not only what is not up to date.")
    ] = False,
) -> None:
    """Compute the data assets of a range: from the source's files to features and labels.

    Goes on where an interrupted one stopped. Exit code 1 when partitions are blocked.
    """
    from cli.console import open_console
    from cli.session import open_session

    with open_session() as session, open_console() as console:
        named = session.pipeline(pipeline)
        blocked = backfill_range(session, named, first, last, everything=everything, console=console)
    if blocked:
        raise typer.Exit(1)


def backfill_range(
    session: Session, pipeline: Pipeline, first: str, last: str, *, everything: bool, console: Console
) -> Mapping[str, str]:
    """Compute what is not up to date, show how it goes, and return why partitions are blocked."""
    from cli.verdicts import show_verdicts
    from perennial.graph.backfill import problems_in, to_be_judged
    from perennial.graph.ranges import keys_between
    from perennial.stores.sources import Sources
    from resources.stores import open_tables

    keys = keys_between(pipeline.time, first, last, where=pipeline.name)
    sources, tables = Sources(home=session.home.root, state=session.home), open_tables(session.home)
    _simulate_if_empty(session, pipeline, last, sources, console)

    standing = tables.standing(pipeline)
    changed = _changed(pipeline, keys, tables, sources)
    problems = problems_in(standing, keys, changed=changed)
    unjudged = to_be_judged(standing, problems, changed=changed)
    asked = keys if everything else [key for key in problems if key not in unjudged]
    console.print(f"{pipeline.name} {first} to {last}: {len(asked)} of {len(keys)} partitions to compute")
    failures = _compute(session, pipeline, asked, console)
    if not failures:
        failures = _compute_what_follows(session, pipeline, keys, asked=asked, console=console)

    blocked = problems_in(tables.standing(pipeline), keys)
    _show(console, keys, blocked, failures)
    show_verdicts(pipeline, tables, keys, console)
    return {**blocked, **{f"run {number}": failure for number, failure in enumerate(failures, 1)}}


def _compute_what_follows(
    session: Session, pipeline: Pipeline, keys: Sequence[str], *, asked: Sequence[str], console: Console
) -> list[str]:
    """Compute those of `keys` that had seen `asked` otherwise, and give verdicts whose history is another again."""
    from perennial.graph.ranges import told_span
    from resources.stores import open_tables

    tables, failures = open_tables(session.home), list[str]()
    behind, unjudged = _left(tables.standing(pipeline), keys, asked)
    if behind:
        console.print(f"computed again, since they had seen these rows otherwise: {told_span(behind)}")
        failures = _compute(session, pipeline, behind, console)
        _, unjudged = _left(tables.standing(pipeline), keys, asked)
    if unjudged and not failures:
        console.print(f"judged again, since what their verdict rests on is another now: {told_span(unjudged)}")
        failures = _compute(session, pipeline, unjudged, console, only=["summary"])
    return failures


def _left(standing: Standing, keys: Sequence[str], asked: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those of `keys` whose aggregates hold rows of `asked` as they were before; those that lack only their verdict."""
    from perennial.graph.backfill import problems_in, to_be_judged

    problems = problems_in(standing, keys)
    unjudged = to_be_judged(standing, problems)
    seen = {*asked, *unjudged}
    return [key for key, why in problems.items() if key not in seen and " is out of date" in why], unjudged


def _simulate_if_empty(session: Session, pipeline: Pipeline, last: str, sources: Sources, console: Console) -> None:
    from datetime import timedelta

    from cli.simulate import simulate_source

    if pipeline.source.simulated_by is None:
        return
    folder = sources.folder(pipeline)
    unfinished = folder / UNFINISHED
    if not folder.is_dir() or not any(folder.iterdir()) or unfinished.exists():
        until = (pipeline.time.window(last).end - timedelta(microseconds=1)).astimezone(pipeline.time.zone).date()
        folder.mkdir(parents=True, exist_ok=True)
        unfinished.touch()
        simulate_source(pipeline, until, home=session.home.root, console=console)
        unfinished.unlink(missing_ok=True)


def _changed(pipeline: Pipeline, keys: Sequence[str], tables: Tables, sources: Sources) -> list[str]:
    """The keys of which a file is not the one that landed."""
    from perennial.ingestion.arrivals import with_readings
    from perennial.stores.sources.timelines import Timelines

    landed = {key: record.provenance for key, record in tables.records(pipeline, "landed").items()}
    there = sources.signatures(pipeline, list(keys))
    now = with_readings(there, landed, Timelines(sources=sources).look(pipeline, list(there)))
    before = with_readings({key: origin.get("signature") for key, origin in landed.items()}, landed, {})
    return [key for key, signature in now.items() if key in before and before[key] != signature]


def _compute(
    session: Session, pipeline: Pipeline, keys: Sequence[str], console: Console, *, only: Sequence[str] = ()
) -> list[str]:
    """Run the data assets, or `only` some, over `keys`, with a bar for each; what failed but for blocked partitions."""
    import dagster as dg
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    from cli.session import actor
    from perennial.graph.ranges import ranges_of
    from perennial.graph.stages import data_assets
    from resources.runs import run_assets
    from resources.tags import ACTOR, REASON

    failures: list[str] = []
    if not keys:
        return failures
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        names = only or data_assets(pipeline)
        bars = {dg.AssetKey([pipeline.name, name]): progress.add_task(name, total=len(keys)) for name in names}
        for first, last in ranges_of(pipeline.time, keys):
            reason = f"backfill of {first} to {last}"
            result = run_assets(
                session.instance,
                session.definitions,
                list(bars),
                (first, last),
                tags={REASON: reason, ACTOR: actor()},
                on_event=_advance(progress, bars),
            )
            failures += [str(error) for error in result.errors if error.kind != "PartitionBlocked"]
            if not result.success and not result.errors:
                failures.append(f"run {result.run_id} was interrupted")
    return failures


def _advance(progress: Progress, bars: Mapping[AssetKey, TaskID]) -> Callable[[EventLogEntry], None]:
    def on_event(entry: EventLogEntry) -> None:
        event = entry.dagster_event
        asset = event.asset_key if event is not None and event.is_step_materialization else None
        if asset is not None and asset in bars:
            progress.advance(bars[asset])

    return on_event


def _show(console: Console, keys: Sequence[str], blocked: Mapping[str, str], failures: Sequence[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    stand = f"{len(keys) - len(blocked)} of {len(keys)} partitions ok"
    table = Table(title=f"{stand}, {len(blocked)} blocked", title_justify="left")
    table.add_column("blocked")
    table.add_column("reason", overflow="fold")
    for key, reason in list(blocked.items())[:MOST_SHOWN]:
        table.add_row(key, Text(reason))
    if len(blocked) > MOST_SHOWN:
        table.add_row("…", f"{len(blocked) - MOST_SHOWN} more")
    console.print(table if blocked else table.title)
    for failure in failures:
        console.print(Text(failure, style="red"))
