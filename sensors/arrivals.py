"""Arrivals: a new or changed partition of the source is landed, and all that is made from it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
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
from sensors.automation import keys_of, pipeline_sensor
from sensors.progress import keys_under_way, next_attempt, runs_of


def build_arrivals(pipeline: Pipeline) -> dg.SensorDefinition:
    """Build the arrivals sensor of `pipeline`."""
    landed = keys_of(pipeline, ["landed"])

    @pipeline_sensor(
        pipeline,
        "arrivals",
        data_assets(pipeline),
        every=10,
        description="Asks for the data assets of each partition whose file is new, or is not the one that landed.",
    )
    def arrivals(
        context: dg.SensorEvaluationContext,
        sources: dg.ResourceParam[Sources],
        tables: dg.ResourceParam[Tables],
        clock: dg.ResourceParam[Clock],
    ) -> dg.SensorResult | dg.SkipReason:
        now = clock.now()
        try:
            every = sources.look_every(pipeline, lookups=False)
            if not is_due(context.cursor, now, every):
                return _too_soon(context.cursor, every)
            records = tables.records(pipeline, "landed")
            provenance = {key: record.provenance for key, record in records.items()}
            awaited = {key: awaits for key, origin in provenance.items() if (awaits := origin.get("awaits"))}
            every = sources.look_every(pipeline, lookups=bool(awaited))
            if not is_due(context.cursor, now, every):
                return _too_soon(context.cursor, every)
            context.update_cursor(now.isoformat())
            there = sources.signatures(pipeline, pipeline.time.complete_keys(now))
        except SourceError as error:
            return dg.SkipReason(str(error))
        mended = _mended(awaited, sources.look_at_lookups(pipeline)) if awaited else set()
        signatures = with_readings(there, provenance, Timelines(sources=sources).look(pipeline, list(there)))
        busy = keys_under_way(runs_of(context.instance, landed), pipeline.time)

        arrived = find_arrived(pipeline.time, signatures, _landed(provenance, mended), busy=busy)

        if not arrived:
            landing = f", {len(busy)} under way" if busy else ""
            return dg.SkipReason(f"none of {len(signatures)} files is new or changed{landing}")
        return _ask(context.instance, pipeline, arrived, records)

    return arrivals


def _too_soon(looked_at: str | None, every: timedelta) -> dg.SkipReason:
    return dg.SkipReason(f"last looked at {looked_at}; this source is looked at every {every}")


def _mended(awaited: Mapping[str, Mapping[str, str]], there: Mapping[str, str]) -> set[str]:
    """The partitions that wait for a lookup whose file is another now."""
    return {key for key, awaits in awaited.items() if any(there.get(name) != was for name, was in awaits.items())}


def _landed(provenance: Mapping[str, Mapping[str, Any]], mended: Collection[str]) -> dict[str, str | None]:
    """The signature with which each partition landed or was blocked; none where what it waited for is `mended`."""
    signatures = with_readings({key: origin.get("signature") for key, origin in provenance.items()}, provenance, {})
    return {key: None if key in mended else signature for key, signature in signatures.items()}


def _ask(
    instance: dg.DagsterInstance, pipeline: Pipeline, arrived: Sequence[Arrived], records: Mapping[str, PartitionRecord]
) -> dg.SensorResult | dg.SkipReason:
    """Ask for a run for each span that `arrived`, or say what became of those that were asked for."""
    attempts = [(one, next_attempt(instance, _run_key(pipeline, one, records))) for one in arrived]
    requests = [_request(pipeline, one, attempt.key) for one, attempt in attempts if attempt.key]
    if not requests:
        return dg.SkipReason("; ".join(f"{one.reason}: {attempt.ended}" for one, attempt in attempts))
    return dg.SensorResult(run_requests=requests)


def _run_key(pipeline: Pipeline, arrived: Arrived, records: Mapping[str, PartitionRecord]) -> str:
    """Equal while the files and what landed of them are: a file that was there before may land again after another."""
    landed = {key: str(records[key].written_at) for key in pipeline.time.keys(*arrived.range) if key in records}
    return f"{pipeline.name}/arrivals/{fingerprint([arrived.key, landed])}"


def _request(pipeline: Pipeline, arrived: Arrived, run_key: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=run_key,
        asset_selection=keys_of(pipeline, data_assets(pipeline)),
        tags={**partition_tags(arrived.range), **reason_tag(arrived.reason)},
    )
