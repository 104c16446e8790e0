"""Status: what serves, how good and how fresh it is, and what was decided last."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.verdicts import kept_out

if TYPE_CHECKING:
    from rich.console import Console

    from perennial.declaration import Pipeline
    from perennial.deployment import Version
    from perennial.stores.lake.tables import Tables
    from pipelines.discovery import Discovered


MOST_GROUPS = 4
"""Reasons shown for each pipeline; `perennial status PIPELINE` has all."""


def status(
    pipeline: Annotated[str | None, typer.Argument(help="Name of a pipeline: list what is out of date in it.")] = None,
) -> None:
    """Show each pipeline's champion, its test error, freshness, last decision and open alerts.

    With a name: which partitions of which table are out of date or blocked, why, and what mends them.
    """
    from cli.console import open_console
    from perennial.settings import find_home
    from perennial.stores.clock import Clock
    from pipelines.discovery import discover
    from resources.stores import open_tables

    discovered, tables, now = discover(), open_tables(find_home(os.environ)), Clock().now()
    with open_console() as console:
        if pipeline is None:
            show_status(discovered, tables, console, now=now)
        else:
            show_outdated(discovered.named(pipeline), tables, console, now=now)


def show_status(discovered: Discovered, tables: Tables, console: Console, *, now: datetime) -> None:
    """Print one table of all pipelines, then the open alerts, then the modules that do not load."""
    from rich.table import Table
    from rich.text import Text

    shown = Table("pipeline", "champion", "test error", "freshness", "last decision", "alerts")
    for pipeline in discovered.pipelines:
        champion = tables.operations.champion(pipeline.name)
        alerts = tables.operations.open_alerts(pipeline.name)
        shown.add_row(
            pipeline.name,
            f"version {champion.number} as of {champion.as_of}" if champion else "none",
            _test_error(pipeline, champion),
            _freshness(pipeline, tables, now),
            Text(_last_decision(pipeline, tables)),
            Text(str(len(alerts)), style="red" if alerts else "green"),
        )
    console.print(shown)
    for pipeline in discovered.pipelines:
        for line in _lines(pipeline, tables, now):
            console.print(Text(line, style="yellow"), soft_wrap=True)
    for alert in tables.operations.open_alerts():
        console.print(Text(f"alert: {alert.pipeline} {alert.kind}: {alert.message}", style="red"), soft_wrap=True)
    for module in discovered.broken:
        console.print(Text(f"broken: pipelines/{module.name}.py: {module.error}", style="red"), soft_wrap=True)


def _test_error(pipeline: Pipeline, champion: Version | None) -> str:
    if champion is None:
        return ""
    metric = str(champion.attributes["metric"])
    measure: dict[str, Any] = champion.attributes["test"][metric]
    low, high = measure["low"], measure["high"]
    spread = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
    return f"{metric} {measure['value']:.2f}{spread} {pipeline.objective.error_unit}"


def _freshness(pipeline: Pipeline, tables: Tables, now: datetime) -> str:
    """The newest accepted partition, and how many of all that landed are not up to date."""
    from perennial.graph.online import all_outdated

    standing = tables.standing(pipeline)
    accepted = [key for key in standing.history("landed") if standing.problem_with("accepted", key) is None]
    behind = {key for group in all_outdated(standing, now) for key in group.keys}
    newest = f"to {max(accepted)}" if accepted else "no data"
    return f"{newest}, {len(behind)} of {len(standing.history('landed'))} not up to date"


def show_outdated(pipeline: Pipeline, tables: Tables, console: Console, *, now: datetime) -> None:
    """Print which partitions of which table are missing or not up to date, why, and the command that mends them."""
    from rich.table import Table
    from rich.text import Text

    from perennial.graph.online import all_outdated
    from perennial.graph.outdated import learned_from_other
    from perennial.graph.ranges import told_span
    from perennial.stores.lake.acknowledgements import way_out

    standing = tables.standing(pipeline)
    shown = Table("table", "partitions", "why", "then run")
    for key, why in _not_in_time(pipeline, tables, now).items():
        shown.add_row("landed", key, why, f"look at the source; sensor {pipeline.name}_arrivals says what it sees")
    for group in all_outdated(standing, now):
        shown.add_row(group.table, told_span(group.keys), Text(group.reason), Text(group.command))
    for key, reason in kept_out(pipeline, tables).items():
        shown.add_row("summary", key, Text(f"no training reads it: {reason}"), Text(way_out(pipeline, key)))
    changed = learned_from_other(standing, tables.records(pipeline, "training_set"))
    for as_of, keys in changed.items():
        why = f"it learned from other rows of {told_span(keys)}"
        shown.add_row("training_set", as_of, why, f"perennial train {pipeline.name} {as_of}")
    if shown.row_count:
        console.print(shown)
    else:
        console.print(f"{pipeline.name}: all of {len(standing.history('landed'))} partitions are up to date")


def _lines(pipeline: Pipeline, tables: Tables, now: datetime) -> list[str]:
    """What is not in time or not up to date, a line for each reason."""
    from perennial.graph.online import all_outdated
    from perennial.graph.ranges import told_span

    groups = all_outdated(tables.standing(pipeline), now)
    late = _not_in_time(pipeline, tables, now)
    lines = [f"{pipeline.name}: {told_span(list(late))} {next(iter(late.values()))}"] if late else []
    lines += [f"{pipeline.name}: {g.reason}, in {told_span(g.keys)}; {g.command}" for g in groups[:MOST_GROUPS]]
    if unread := kept_out(pipeline, tables):
        first = f"{told_span(list(unread))}: {next(iter(unread.values()))}"
        lines.append(f"{pipeline.name}: no training reads {first}; see perennial status {pipeline.name}")
    rest = len(groups) - MOST_GROUPS
    return lines + ([f"{pipeline.name}: {rest} more reasons: perennial status {pipeline.name}"] if rest > 0 else [])


def _not_in_time(pipeline: Pipeline, tables: Tables, now: datetime) -> dict[str, str]:
    """Which partitions are overdue, or came late and are the newest."""
    from perennial.ingestion.lateness import arrivals_of, problems

    return problems(arrivals_of(pipeline, tables.records(pipeline, "landed")), now)


def _last_decision(pipeline: Pipeline, tables: Tables) -> str:
    last = next(iter(tables.operations.ledger(pipeline.name, limit=1)), None)
    if last is None:
        return "none yet"
    return f"{last.at:%Y-%m-%d %H:%M} {last.kind.replace('_', ' ')} {last.subject}: {last.reason}"
