"""Lineage: whether each data table still follows from its parents and the declaration, as a check of its asset.

The step that writes a table evaluates its check last; between runs the sensor `{pipeline}_lineage` does.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

import dagster as dg

from assets.describe import table
from perennial.declaration import Pipeline
from perennial.graph.online import ONLINE, behind, renewed_assets
from perennial.graph.outdated import CHECK, told
from perennial.stores.lake.tables import Tables

CLAIMS = {ONLINE: "What was brought online last are the newest aggregates that the lake knows."}


def lineage_checks(pipeline: Pipeline, names: Iterable[str]) -> list[dg.AssetCheckSpec]:
    """The check of each of the assets `names` that is made from another table."""
    return [
        dg.AssetCheckSpec(
            CHECK,
            asset=[pipeline.name, name],
            description=CLAIMS.get(
                name, f"Every partition of {name} follows from its parents and from the declaration of now."
            ),
        )
        for name in names
        if name in renewed_assets(pipeline)
    ]


def evaluate_lineage(
    pipeline: Pipeline, tables: Tables, names: Iterable[str], *, at: datetime
) -> Iterator[dg.AssetCheckEvaluation]:
    """What the check finds `at` this moment in each of the assets `names`."""
    standing = tables.standing(pipeline)
    for name in set(names) & set(renewed_assets(pipeline)):
        late = behind(standing, name, at)
        yield dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey([pipeline.name, name]),
            check_name=CHECK,
            passed=not late,
            severity=dg.AssetCheckSeverity.WARN,
            description=told(late, len(standing.history("landed"))),
            metadata={"partitions": table({"partition": key, "why": why} for key, why in late.items())},
        )
