"""Requeue: judges the rows of a landed partition again, after a rule has changed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from cli.session import Session
    from perennial.declaration import Pipeline
    from perennial.graph.lineage import Standing
    from perennial.graph.renewal import Renewing
    from perennial.stores.lake.tables import Tables
    from perennial.validation.requeue import Change, Judged
    from resources.runs import RunResult

KIND = "requeue"
"""Of the ledger's row."""


def requeue(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline.")],
    partition: Annotated[str, typer.Argument(help="Partition to judge again, such as 2024-01-01 or 2023-01.")],
) -> None:
    """Judge a landed partition again under the rules of now, and renew what is made from it and what it reads.

    Of the partitions that its aggregates look back on, those that are out of date are judged again first.
    The file is not read again. Running it twice changes nothing; one that was killed goes on.
    Exit code 1 when the partition is blocked afterwards.
    """
    from cli.console import open_console
    from cli.session import open_session

    with open_session() as session, open_console() as console:
        blocked = requeue_partition(session, session.pipeline(pipeline), partition, console=console)
    if blocked:
        raise typer.Exit(1)


def requeue_partition(session: Session, pipeline: Pipeline, key: str, *, console: Console) -> str | None:
    """Judge partition `key` again, show what changed, and return why it is blocked, if it is."""
    from perennial.graph.ranges import keys_between
    from perennial.stores.clock import Clock
    from perennial.validation.requeue import compare
    from resources.stores import open_tables

    keys_between(pipeline.time, key, key, where=pipeline.name)
    tables = open_tables(session.home)
    before = _look(tables, pipeline)
    _check_landed(before, key)
    held = _rows(tables, pipeline, key)
    at = Clock().now()
    results = [_run(session, pipeline, key, one) for one in _runs(before, key, at)]

    after = _look(tables, pipeline)
    change = compare(held, _rows(tables, pipeline, key), columns=pipeline.schema.names)
    renewed, problem = _renewed(before, after, key), _problem(after, key)
    if renewed or change.accepted_again or change.quarantined_now:
        run_id = results[-1].run_id if results else None
        _write_down(tables, pipeline, key, change, {"renewed": renewed, "run_id": run_id}, at=at)
    console.print(f"{pipeline.name} {key}: {change.line}")
    _show_rules(console, change)
    console.print(f"renewed: {', '.join(renewed) or 'nothing; all of it follows from these rows and rules already'}")
    _show_lines(console, _now_out_of_date(tables, after, key, at), style="yellow")
    _show_lines(console, [f"{key} is still not to be read: {problem}"] if problem else [], style="red")
    return problem


def _write_down(
    tables: Tables, pipeline: Pipeline, key: str, change: Change, details: dict[str, Any], *, at: datetime
) -> None:
    from cli.session import actor

    said = f"judged again: {change.line}"
    tables.operations.append_decision(pipeline.name, KIND, key, said, details, at=at, actor=actor())


def _show_lines(console: Console, lines: list[str], *, style: str) -> None:
    from rich.text import Text

    for line in lines:
        console.print(Text(line, style=style), soft_wrap=True)


def _look(tables: Tables, pipeline: Pipeline) -> Standing:
    """What stands at this moment, all of it looked up now."""
    from perennial.graph.lineage import steps_of
    from perennial.graph.online import ONLINE

    standing = tables.standing(pipeline)
    for name in (*steps_of(pipeline), ONLINE):
        standing.history(name)
    return standing


def _check_landed(standing: Standing, key: str) -> None:
    from perennial.errors import PerennialError

    problem = standing.problem_with("landed", key)
    if problem:
        raise PerennialError(
            "there are no rows to judge",
            where=f"{standing.pipeline.name} {key}",
            found=problem,
            hint=f"perennial backfill {standing.pipeline.name} {key} {key} reads the source again",
        )


def _rows(tables: Tables, pipeline: Pipeline, key: str) -> Judged:
    from perennial.validation.requeue import Judged

    accepted, quarantined = (
        tables.read(pipeline, name, [key], [*pipeline.schema.names, *extra])
        for name, extra in (("accepted", ()), ("quarantined", ("reason",)))
    )
    return Judged(accepted=accepted, quarantined=quarantined)


def _runs(standing: Standing, key: str, at: datetime) -> list[Renewing]:
    """What is to be run: nothing where all stands or is blocked by the rules of now, and the newest is online."""
    from perennial.graph.online import ONLINE, problem_online
    from perennial.graph.outdated import derived_tables
    from perennial.graph.renewal import Renewing, renewal

    if any(_is_behind(standing, name, key) for name in derived_tables(standing.pipeline)):
        return renewal(standing, key)
    return [Renewing(names=(ONLINE,), range=(key, key))] if problem_online(standing, at) else []


def _run(session: Session, pipeline: Pipeline, key: str, renewing: Renewing) -> RunResult:
    """Run it; partitions that are blocked are no failure."""
    import dagster as dg

    from cli.session import actor
    from perennial.errors import PerennialError
    from resources.runs import run_assets
    from resources.tags import ACTOR, REASON

    result = run_assets(
        session.instance,
        session.definitions,
        [dg.AssetKey([pipeline.name, name]) for name in renewing.names],
        renewing.range,
        tags={REASON: f"requeue of {key}", ACTOR: actor()},
    )
    failures = [error for error in result.errors if error.kind != "PartitionBlocked"]
    if failures or not (result.success or result.errors):
        said = "; ".join(map(str, failures)) or "it was interrupted"
        raise PerennialError(f"run {result.run_id} failed: {said}", where=f"{pipeline.name} {key}")
    return result


def _is_behind(standing: Standing, name: str, key: str) -> bool:
    """Whether table `name` is to be made again; what is made of rows that the rules of now block would be blocked."""
    from perennial.graph.lineage import STEPS

    if standing.problem_with(name, key) is None:
        return False
    record = standing.record("accepted", key)
    blocked = record is not None and record.status == "blocked" and STEPS[name].parent is not None
    return not (blocked and _judged_by_the_rules_of_now(standing, key))


def _judged_by_the_rules_of_now(standing: Standing, key: str) -> bool:
    from perennial.graph.lineage import inputs_of

    landed, accepted = standing.record("landed", key), standing.record("accepted", key)
    if landed is None or accepted is None:
        return False
    return dict(accepted.inputs) == inputs_of(standing.pipeline, "accepted", landed.content_hash)


def _problem(standing: Standing, key: str) -> str | None:
    from perennial.graph.outdated import derived_tables

    return next(filter(None, (standing.problem_with(name, key) for name in derived_tables(standing.pipeline))), None)


def _renewed(before: Standing, after: Standing, key: str) -> list[str]:
    """The tables whose rows of `key` are others now, and the online store when what it holds is other."""
    from perennial.graph.online import ONLINE, brought_online
    from perennial.graph.outdated import derived_tables

    found = []
    for name in derived_tables(after.pipeline):
        old, new = before.record(name, key), after.record(name, key)
        if new is not None and (old is None or old.content_hash != new.content_hash):
            found.append(name)
    return [*found, *([ONLINE] if brought_online(before) != brought_online(after) else [])]


def _now_out_of_date(tables: Tables, standing: Standing, key: str, at: datetime) -> list[str]:
    """What read other rows of `key` than stand now, a line each, with the command that mends it."""
    from perennial.graph.online import ONLINE, all_outdated
    from perennial.graph.outdated import learned_from_other
    from perennial.graph.ranges import told_span

    name = standing.pipeline.name
    lines = [
        f"out of date: {group.reason}, in {told_span(group.keys)}: {group.command}"
        for group in all_outdated(standing, at)
        if not group.is_blocked and (group.keys != (key,) or group.table == ONLINE)
    ]
    changed = learned_from_other(standing, tables.records(standing.pipeline, "training_set"))
    return lines + [
        f"out of date: the training set as of {as_of} learned from other rows of {key}: perennial train {name} {as_of}"
        for as_of, keys in changed.items()
        if key in keys
    ]


def _show_rules(console: Console, change: Change) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("rule", "accepted again", "still quarantined", "quarantined now")
    for claim in dict.fromkeys([*change.accepted_again, *change.still, *change.quarantined_now]):
        counts = (of.get(claim, 0) for of in (change.accepted_again, change.still, change.quarantined_now))
        table.add_row(Text(claim), *(f"{count:,}" for count in counts))
    if table.row_count:
        console.print(table)
