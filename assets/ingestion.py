"""Ingestion: files of the source become rows of the declared types, with provenance."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
import polars as pl

from assets.describe import bullets, column_schema, instant, place, row_counts
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.errors import SchemaSkew, SourceError, SourceUnreachable
from perennial.graph.lineage import inputs_of
from perennial.graph.records import PartitionRecord
from perennial.ingestion.landing import LandedPartition, land
from perennial.ingestion.revisions import Revision
from perennial.stores.clock import Clock
from perennial.stores.lake.deliveries import Deliveries
from perennial.stores.lake.large import Large
from perennial.stores.lake.lookups import Lookups
from perennial.stores.lake.tables import Outcome, Tables
from perennial.stores.sources import Sources

CHECK = "schema_is_known"


def build_landed(pipeline: Pipeline) -> dg.AssetsDefinition:
    """Build the landed asset of `pipeline`."""

    @range_asset(
        pipeline,
        "landed",
        stage="ingestion",
        description="The source's rows in their declared types, each with its event time and known-at.",
        check=CHECK,
        check_description="Every declared column is there, nothing else is, and every value fits its type.",
        metadata=column_schema(pipeline.schema),
    )
    def landed(
        context: dg.AssetExecutionContext,
        sources: dg.ResourceParam[Sources],
        tables: dg.ResourceParam[Tables],
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "landed", check=CHECK)
        before = Deliveries.of(tables, pipeline)
        for keys in run.batches({key: before.rows(key) for key in run.keys}):
            ready = _land(run, keys, sources, tables, before, clock)
            if not ready:
                continue

            with tables.operations.holding(pipeline.table("landed")):  # another run may have landed them meanwhile
                now = Deliveries.of(tables, pipeline)
                revisions = {key: now.revise(landed, arrived=arrived) for key, (landed, arrived) in ready.items()}

                records = tables.save(
                    pipeline,
                    "landed",
                    pl.concat([revision.frame for revision in revisions.values()]),
                    {key: _outcome(pipeline, ready[key][0], revision) for key, revision in revisions.items()},
                    at=clock.now(),
                )

            for key, (landed_rows, _) in ready.items():
                record = records[key]
                shown = _describe(record, landed_rows.notes, changed=revisions[key].changed)
                run.written(key, shown, found=_found(revisions[key], record))
        yield from run.finish()

    return landed


def _land(
    run: RangeRun, keys: list[str], sources: Sources, tables: Tables, before: Deliveries, clock: Clock
) -> dict[str, tuple[LandedPartition, datetime]]:
    """Read and cast each of `keys`, with when it arrived; one that cannot be is blocked, beside what it held before."""
    ready: dict[str, tuple[LandedPartition, datetime]] = {}
    lookups = Lookups(lakehouse=tables.lakehouse, sources=sources, holding=tables.operations.holding)
    lookups.refresh(run.pipeline, at=clock.now())
    for key in keys:
        signature = None
        try:
            arrival = sources.read(run.pipeline, key, fetched_at=clock.now())
            signature = arrival.signature
            arrival = lookups.join(run.pipeline, arrival)
            slot = before.place(key, arrival.sha256, arrived=arrival.fetched_at)
            if arrival.is_large and slot.base is None:
                large = Large(tables=tables, pipeline=run.pipeline)
                record, notes = large.land(arrival, revision=slot.number, at=clock.now())
                run.written(key, _describe(record, notes), found=f"{record.rows:,} rows landed")
                continue
            ready[key] = (land(run.pipeline, arrival), arrival.fetched_at)
        except (SourceError, SchemaSkew) as error:
            run.block(key, str(error))
            if isinstance(error, SourceUnreachable) and Deliveries.of(tables, run.pipeline).has_landed(key):
                continue  # what stands, though it landed only now, is all that is known of the content
            signature = error.signature if isinstance(error, SourceError) else signature
            now = clock.now()
            known_at = max(now, run.pipeline.time.known_at(key))
            provenance = {"signature": signature, **({"awaits": lookups.awaited} if lookups.problems else {})}
            outcome = Outcome(blocked=str(error), provenance=provenance, known_at=known_at)
            tables.block(run.pipeline, "landed", key, outcome, at=now)
    return ready


def _outcome(pipeline: Pipeline, partition: LandedPartition, revision: Revision) -> Outcome:
    return Outcome(
        inputs=inputs_of(pipeline, "landed", partition.provenance["sha256"]),
        provenance=partition.provenance,
        known_at=revision.known_at,
        revision=revision.number,
    )


def _found(revision: Revision, record: PartitionRecord) -> str:
    """What the check says of a partition that landed."""
    notes = "".join(f"; {note}" for note in record.provenance.get("notes", ()))
    if not (revision.changed or revision.removed):
        return f"{record.rows:,} rows landed{notes}"
    late = f", {revision.kept:,} kept beside changes that came too late" if revision.kept else ""
    changes = f"{revision.changed:,} rows new or changed, {revision.removed:,} gone"
    return f"{record.rows:,} rows landed as revision {record.revision}: {changes}{late}{notes}"


def _describe(record: PartitionRecord, notes: Sequence[str], *, changed: int = 0) -> dict[str, Any]:
    provenance = record.provenance
    return {
        **row_counts(record.rows),
        "source": place(provenance["uri"]),
        "sha256": provenance["sha256"],
        "bytes": provenance["bytes"],
        "licence": provenance["licence"],
        **({"known_at": instant(record.known_at)} if record.known_at else {}),
        "revision": record.revision,
        "rows new or changed": changed,
        "table_version": record.table_version,
        "content_hash": record.content_hash,
        "casts": bullets(notes),
    }
