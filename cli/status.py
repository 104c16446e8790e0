"""Status: what serves, how good and how fresh it is, and what was decided last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from perennial.declaration import Pipeline
    from perennial.deployment import Version
    from perennial.stores.tables import Tables
    from pipelines.discovery import Discovered


def status() -> None:
    """Show each pipeline's champion, its test error, freshness, last decision and open alerts."""
    from cli.console import open_console
    from perennial.settings import find_home
    from pipelines.discovery import discover
    from resources.stores import open_tables

    with open_console() as console:
        show_status(discover(), open_tables(find_home(os.environ)), console)


def show_status(discovered: Discovered, tables: Tables, console: Console) -> None:
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
            _freshness(pipeline, tables),
            Text(_last_decision(pipeline, tables)),
            Text(str(len(alerts)), style="red" if alerts else "green"),
        )
    console.print(shown)
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
    return f"{metric} {measure['value']:.2f}{spread} {pipeline.objective.unit}"


def _freshness(pipeline: Pipeline, tables: Tables) -> str:
    """The newest accepted partition, and how many of all that landed are not up to date."""
    from perennial.graph.backfill import problems_in
    from perennial.graph.stages import DATA

    records = {name: tables.records(pipeline, name) for name in DATA}
    accepted = [key for key, record in records["accepted"].items() if record.status == "ok"]
    behind = problems_in(pipeline, records["landed"], records)
    newest = f"to {max(accepted)}" if accepted else "no data"
    return f"{newest}, {len(behind)} of {len(records['landed'])} not up to date"


def _last_decision(pipeline: Pipeline, tables: Tables) -> str:
    last = next(iter(tables.operations.ledger(pipeline.name, limit=1)), None)
    if last is None:
        return "none yet"
    return f"{last.at:%Y-%m-%d %H:%M} {last.kind.replace('_', ' ')} {last.subject}: {last.reason}"
