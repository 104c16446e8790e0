"""Lineage: whether each data table still follows from its parents and the declaration, as a check of its asset.

The step that writes a table evaluates its check last; between runs the sensor `{pipeline}_lineage` does.
"""

from collections.abc import Iterable, Iterator

import dagster as dg

from assets.describe import table
from perennial.declaration import Pipeline
from perennial.graph.outdated import CHECK, derived_tables, outdated_in, told
from perennial.stores.lake.tables import Tables


def lineage_checks(pipeline: Pipeline, names: Iterable[str]) -> list[dg.AssetCheckSpec]:
    """The check of each of the assets `names` that is made from another table."""
    return [
        dg.AssetCheckSpec(
            CHECK,
            asset=[pipeline.name, name],
            description=f"Every partition of {name} follows from its parents and from the declaration of now.",
        )
        for name in names
        if name in derived_tables(pipeline)
    ]


def evaluate_lineage(pipeline: Pipeline, tables: Tables, names: Iterable[str]) -> Iterator[dg.AssetCheckEvaluation]:
    """What the check finds now in each of the tables `names`."""
    standing = tables.standing(pipeline)
    for name in set(names) & set(derived_tables(pipeline)):
        behind = outdated_in(standing, name)
        yield dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey([pipeline.name, name]),
            check_name=CHECK,
            passed=not behind,
            severity=dg.AssetCheckSeverity.WARN,
            description=told(behind, len(standing.history("landed"))),
            metadata={"partitions": table({"partition": key, "why": why} for key, why in behind.items())},
        )
