"""Arrivals: a new or changed partition of the source is landed, and all that is made from it."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from perennial.declaration import Pipeline
from perennial.errors import SourceError
from perennial.graph.records import PartitionRecord
from perennial.graph.stages import data_assets
from perennial.ingestion.arrivals import Arrived, find_arrived, fingerprint, is_due, with_readings
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Tables
from perennial.stores.sources import Sources
from perennial.stores.sources.timelines import Timelines
from resources.tags import partition_tags, reason_tag
from sensors.automation import keys_of
from sensors.progress import keys_under_way, next_attempt, runs_of


def build_arrivals(pipeline: Pipeline) -> dg.SensorDefinition:
    """Build the arrivals sensor of `pipeline`."""
    assets = keys_of(pipeline, data_assets(pipeline))

    @dg.sensor(
        name=f"{pipeline.name}_arrivals",
        target=dg.AssetSelection.assets(*assets),
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for the data assets of each partition whose file is new, or is not the one that landed.",
        tags={"pipeline": pipeline.name},
    )
    def arrivals(
        context: dg.SensorEvaluationContext,
        sources: dg.ResourceParam[Sources],
        tables: dg.ResourceParam[Tables],
        clock: dg.ResourceParam[Clock],
    ) -> dg.SensorResult | dg.SkipReason:
        try:
            now, every = clock.now(), sources.look_every(pipeline)
            if not is_due(context.cursor, now, every):
                return dg.SkipReason(f"last looked at {context.cursor}; this source is looked at every {every}")
            context.update_cursor(now.isoformat())
            there = sources.signatures(pipeline, pipeline.time.complete_keys(now))
        except SourceError as error:
            return dg.SkipReason(str(error))
        records = tables.records(pipeline, "landed")
        provenance = {key: record.provenance for key, record in records.items()}
        signatures = with_readings(there, provenance, Timelines(sources=sources).look(pipeline, list(there)))
        landed = _landed(pipeline, provenance, sources)
        busy = keys_under_way(runs_of(context.instance, assets[:1]), pipeline.time)

        arrived = find_arrived(pipeline.time, signatures, landed, busy=busy)

        if not arrived:
            landing = f", {len(busy)} under way" if busy else ""
            return dg.SkipReason(f"none of {len(signatures)} files is new or changed{landing}")
        attempts = [(one, next_attempt(context.instance, _run_key(pipeline, one, records))) for one in arrived]
        requests = [_request(one, attempt.key, assets) for one, attempt in attempts if attempt.key]
        if not requests:
            return dg.SkipReason("; ".join(f"{one.reason}: {attempt.ended}" for one, attempt in attempts))
        return dg.SensorResult(run_requests=requests)

    return arrivals


def _landed(pipeline: Pipeline, provenance: Mapping[str, Mapping[str, Any]], sources: Sources) -> dict[str, str | None]:
    """The signature with which each partition landed or was blocked; none where a lookup that it awaits is another."""
    awaited = {key: awaits for key, origin in provenance.items() if (awaits := origin.get("awaits"))}
    there = sources.look_at_lookups(pipeline) if awaited else {}
    mended = {key for key, awaits in awaited.items() if any(there.get(name) != was for name, was in awaits.items())}
    signatures = with_readings({key: origin.get("signature") for key, origin in provenance.items()}, provenance, {})
    return {key: None if key in mended else signature for key, signature in signatures.items()}


def _run_key(pipeline: Pipeline, arrived: Arrived, records: Mapping[str, PartitionRecord]) -> str:
    """Equal while the files and what landed of them are: a file that was there before may land again after another."""
    landed = {key: str(records[key].written_at) for key in pipeline.time.keys(*arrived.range) if key in records}
    return f"{pipeline.name}/arrivals/{fingerprint([arrived.key, landed])}"


def _request(arrived: Arrived, run_key: str, assets: list[dg.AssetKey]) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=run_key,
        asset_selection=assets,
        tags={**partition_tags(arrived.range), **reason_tag(arrived.reason)},
    )
