"""Lineage: what became out of date without a run, because a declaration changed, is shown on the assets themselves."""

import json

import dagster as dg

from perennial.declaration import Pipeline
from perennial.graph.online import behind, renewed_assets
from perennial.graph.outdated import CHECK, told
from perennial.graph.stages import data_assets
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Tables
from sensors.automation import keys_of, pipeline_sensor
from sensors.progress import runs_of


def build_lineage(pipeline: Pipeline) -> dg.SensorDefinition:
    """Build the lineage sensor of `pipeline`."""
    assets = keys_of(pipeline, data_assets(pipeline))

    @pipeline_sensor(
        pipeline,
        "lineage",
        data_assets(pipeline),
        every=30,
        description="Evaluates the check is_up_to_date of each data asset when its answer changes; starts no run.",
    )
    def lineage(
        context: dg.SensorEvaluationContext, tables: dg.ResourceParam[Tables], clock: dg.ResourceParam[Clock]
    ) -> dg.SensorResult:
        standing = tables.standing(pipeline)
        total = len(standing.history("landed"))
        before: dict[str, str] = json.loads(context.cursor or "{}")
        if not total or runs_of(context.instance, assets):
            return dg.SensorResult(skip_reason="nothing has landed, or a run renews it now", cursor=context.cursor)
        late = {name: behind(standing, name, clock.now()) for name in renewed_assets(pipeline)}

        now = {name: told(keys, total) for name, keys in late.items()}

        changed = [name for name in late if now[name] != before.get(name)]
        for name in changed:
            context.instance.report_runless_asset_event(_evaluation(pipeline, name, late[name], now[name]))
        said = "; ".join(f"{name}: {now[name]}" for name in changed) or "as it was"
        return dg.SensorResult(skip_reason=said, cursor=json.dumps(now))

    return lineage


def _evaluation(pipeline: Pipeline, name: str, late: dict[str, str], line: str) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey([pipeline.name, name]),
        check_name=CHECK,
        passed=not late,
        metadata={"partitions": dg.MetadataValue.json(late)},
        severity=dg.AssetCheckSeverity.WARN,
        description=line,
    )
