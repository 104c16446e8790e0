"""Lineage: whether each data table still follows from its parents and the declaration, as a check of its asset."""

from collections.abc import Iterator

import dagster as dg

from assets.describe import table
from perennial.declaration import Pipeline
from perennial.graph.outdated import CHECK, derived_tables, outdated_in, told
from perennial.stores.tables import Tables


def build_is_up_to_date(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the checks of the derived data tables of `pipeline`; its lineage sensor reports the same between runs."""

    @dg.multi_asset_check(
        name=f"{pipeline.name}__{CHECK}",
        specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=[pipeline.name, name],
                description=f"Every partition of {name} follows from its parents and from the declaration of now.",
            )
            for name in derived_tables(pipeline)
        ],
        can_subset=True,
    )
    def is_up_to_date(
        context: dg.AssetCheckExecutionContext, tables: dg.ResourceParam[Tables]
    ) -> Iterator[dg.AssetCheckResult]:
        standing = tables.standing(pipeline)
        for key in sorted(context.selected_asset_check_keys):
            behind = outdated_in(standing, key.asset_key.path[-1])
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=CHECK,
                passed=not behind,
                severity=dg.AssetCheckSeverity.WARN,
                description=told(behind, len(standing.history("landed"))),
                metadata={"partitions": table({"partition": k, "why": why} for k, why in behind.items())},
            )

    return is_up_to_date
