"""Monitor: measures a range of monitoring partitions, as the monitoring sensor has it done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.errors import PerennialError

if TYPE_CHECKING:
    from cli.session import Session
    from perennial.declaration import Pipeline


def monitor_range(session: Session, pipeline: Pipeline, first: str, last: str) -> None:
    """Run the monitoring assets over `first` to `last`. Raises PerennialError when one of them fails."""
    import dagster as dg

    from cli.session import actor
    from perennial.graph.stages import MONITORING
    from resources.runs import run_assets
    from resources.tags import ACTOR, REASON

    result = run_assets(
        session.instance,
        session.definitions,
        [dg.AssetKey([pipeline.name, name]) for name in MONITORING],
        (first, last),
        tags={REASON: f"monitor {first} to {last}", ACTOR: actor()},
    )
    if not result.success:
        raise PerennialError(
            "monitoring failed",
            where=f"{pipeline.name} {first} to {last}",
            found="; ".join(map(str, result.errors)) or "an interrupted run",
            hint=f"run {result.run_id} has its log",
        )
