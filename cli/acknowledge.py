"""Acknowledge: a person's word that a partition is right although it does not resemble its history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cli.session import Session
    from perennial.declaration import Pipeline
    from perennial.stores.lake.tables import Tables


def acknowledge(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline.")],
    partition: Annotated[str, typer.Argument(help="Partition that its history blocks, such as 2024-01-01.")],
    why: Annotated[str, typer.Option(help="What makes it right, for the ledger.")],
) -> None:
    """Let trainings read a partition that its history blocks; holds for its present rows only.

    It is history from now on: the verdicts on later partitions are given again.
    """
    from cli.session import open_session

    with open_session() as session:
        for line in acknowledge_partition(session, session.pipeline(pipeline), partition, why):
            typer.echo(line)


def acknowledge_partition(session: Session, pipeline: Pipeline, key: str, why: str) -> list[str]:
    """Write the word down and judge again what was held against the other history; what to say of it."""
    from cli.session import actor
    from perennial.graph.ranges import keys_between
    from perennial.stores.clock import Clock
    from perennial.stores.lake.acknowledgements import acknowledge as record
    from resources.stores import open_tables

    keys_between(pipeline.time, key, key, where=pipeline.name)
    tables = open_tables(session.home)
    blocked = record(tables, pipeline, key, why, actor=actor(), at=Clock().now())
    before = _verdicts(tables, pipeline)
    _judge_again(session, pipeline, key)
    changed = {k: said for k, said in _verdicts(tables, pipeline).items() if said[0] != before.get(k, said)[0]}
    return [
        f"{pipeline.name} {key}: trainings may read it; it was blocked for: {blocked}",
        *(f"{k}: now {verdict}, was {before[k][0]}: {why}" for k, (verdict, why) in changed.items()),
    ]


def _verdicts(tables: Tables, pipeline: Pipeline) -> dict[str, tuple[str, str]]:
    """The verdict on each partition, and why."""
    said = {key: record.provenance for key, record in tables.records(pipeline, "summary").items()}
    return {key: (str(each.get("verdict")), str(each.get("reason"))) for key, each in said.items()}


def _judge_again(session: Session, pipeline: Pipeline, key: str) -> None:
    import dagster as dg

    from cli.session import actor
    from perennial.errors import PerennialError
    from resources.runs import run_assets
    from resources.tags import ACTOR, REASON

    summary = dg.AssetKey([pipeline.name, "summary"])
    tags = {REASON: f"acknowledgement of {key}", ACTOR: actor()}
    result = run_assets(session.instance, session.definitions, [summary], key, tags=tags)
    if not result.success:
        raise PerennialError(
            "it is acknowledged, and later partitions are not judged again yet",
            where=f"{pipeline.name} {key}",
            found="; ".join(map(str, result.errors)) or f"run {result.run_id} was interrupted",
            hint=f"perennial backfill {pipeline.name} {key} {key}, once that is mended",
        )
