"""Ingestion: files of the source become rows of the declared types, with provenance."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
import polars as pl

from assets.describe import bullets, column_schema, instant, place, row_counts, table
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.errors import LandedMeanwhile, PerennialError, SchemaSkew, SourceError, SourceUnreachable
from perennial.graph.records import PartitionRecord
from perennial.ingestion.landing import Arrival, LandedPartition, land
from perennial.ingestion.lateness import Arrivals, arrivals_of, arrived_after
from perennial.ingestion.revisions import Place, Revision
from perennial.stores.clock import Clock
from perennial.stores.lake.deliveries import Deliveries
from perennial.stores.lake.large import Large
from perennial.stores.lake.lookups import Lookups
from perennial.stores.lake.tables import Outcome, Tables
from perennial.stores.sources import Sources
from perennial.stores.sources.timelines import Timelines
from resources.lateness import evaluate_lateness, lateness_check

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
        checks=[lateness_check(pipeline)],
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
                    {key: _outcome(now, *ready[key], revision) for key, revision in revisions.items()},
                    at=clock.now(),
                )

            arrivals = arrivals_of(pipeline, tables.records(pipeline, "landed"))
            for key, (landed_rows, _) in ready.items():
                record = records[key]
                shown = _describe(record, landed_rows.notes, arrivals, changed=revisions[key].changed)
                run.written(key, shown, found=_found(revisions[key], record))
        context.log_event(evaluate_lateness(pipeline, tables, now=clock.now()))
        yield from run.finish()

    return landed


def _land(
    run: RangeRun, keys: list[str], sources: Sources, tables: Tables, before: Deliveries, clock: Clock
) -> dict[str, tuple[LandedPartition, datetime]]:
    """Read and cast each of `keys`, with when it arrived; one that cannot be is blocked, beside what it held before."""
    ready: dict[str, tuple[LandedPartition, datetime]] = {}
    lookups = Lookups(lakehouse=tables.lakehouse, sources=sources, holding=tables.operations.holding)
    lookups.refresh(run.pipeline, at=clock.now())
    timelines = Timelines(sources=sources)
    readings = timelines.look(run.pipeline, keys)  # before they are read: what changes meanwhile is looked at again
    for key in keys:
        arrival: Arrival | None = None
        try:
            arrival = sources.read(run.pipeline, key, fetched_at=clock.now())
            joined = timelines.join(run.pipeline, lookups.join(run.pipeline, arrival))
            slot = before.place(key, joined.contents, arrived=joined.fetched_at)
            if joined.is_large and slot.base is None:
                _land_large(run, joined, slot, tables, at=clock.now())
            else:
                ready[key] = (land(run.pipeline, joined), joined.fetched_at)
        except LandedMeanwhile as error:
            run.block(key, str(error))
        except (SourceError, SchemaSkew) as error:
            run.block(key, str(error))
            if not (isinstance(error, SourceUnreachable) and _rows_stand(before, key)):
                _block(before, key, error, _seen(arrival, error, lookups, readings[key]), at=clock.now())
    return ready


def _land_large(run: RangeRun, arrival: Arrival, slot: Place, tables: Tables, *, at: datetime) -> None:
    """Land, part by part, a partition that does not fit in memory, and report it."""
    record, notes = Large(tables=tables, pipeline=run.pipeline).land(arrival, revision=slot.number, at=at)
    arrivals = arrivals_of(run.pipeline, tables.records(run.pipeline, "landed"))
    run.written(arrival.partition, _describe(record, notes, arrivals), found=_landed_rows(record))


def _rows_stand(before: Deliveries, key: str) -> bool:
    """Whether rows of `key` stand, though another run may have landed them since this one began."""
    return before.has_landed(key) or Deliveries.of(before.tables, before.pipeline).has_landed(key)


def _seen(
    arrival: Arrival | None, error: PerennialError, lookups: Lookups, readings: Mapping[str, str]
) -> dict[str, Any]:
    """What the record keeps of a delivery that cannot land, to see when it is another."""
    signature = arrival.signature if arrival else getattr(error, "signature", None)
    return {
        "signature": signature,
        **({"awaits": lookups.awaited} if lookups.problems else {}),
        **({"readings": readings} if readings else {}),
    }


def _block(before: Deliveries, key: str, error: PerennialError, seen: Mapping[str, Any], *, at: datetime) -> None:
    """Record that what the source delivered cannot land, and what was `seen` of it."""
    arrived = before.arrived(key, now=at if seen["signature"] else None)  # of nothing seen: as it was
    provenance = {**seen, **({"arrived_at": arrived} if arrived else {})}
    known_at = max(at, before.pipeline.time.known_at(key))
    outcome = Outcome(blocked=str(error), provenance=provenance, known_at=known_at)
    before.tables.block(before.pipeline, "landed", key, outcome, at=at)


def _outcome(before: Deliveries, landed: LandedPartition, arrived: datetime, revision: Revision) -> Outcome:
    return before.outcome(
        landed.partition,
        contents=landed.contents,
        provenance=landed.provenance,
        arrived=arrived,
        known_at=revision.known_at,
        revision=revision.number,
    )


def _found(revision: Revision, record: PartitionRecord) -> str:
    """What the check says of a partition that landed."""
    if not (revision.changed or revision.removed):
        return _landed_rows(record)
    late = f", {revision.kept:,} kept beside changes that came too late" if revision.kept else ""
    changes = f"{revision.changed:,} rows new or changed, {revision.removed:,} gone"
    return _landed_rows(record, f" as revision {record.revision}: {changes}{late}")


def _landed_rows(record: PartitionRecord, how: str = "") -> str:
    notes = "".join(f"; {note}" for note in record.provenance.get("notes", ()))
    return f"{record.rows:,} rows landed{how}{notes}"


def _describe(record: PartitionRecord, notes: Sequence[str], arrivals: Arrivals, *, changed: int = 0) -> dict[str, Any]:
    provenance = record.provenance
    return {
        **row_counts(record.rows),
        "source": place(provenance["uri"]),
        "sha256": provenance["sha256"],
        "bytes": provenance["bytes"],
        "licence": provenance["licence"],
        **({"joined with": _joined_with(provenance["beside"])} if provenance.get("beside") else {}),
        **({"known_at": instant(record.known_at)} if record.known_at else {}),
        "arrived": arrived_after(arrivals, record.partition),
        "revision": record.revision,
        "rows new or changed": changed,
        "table_version": record.table_version,
        "content_hash": record.content_hash,
        "casts": bullets(notes),
    }


def _joined_with(beside: Mapping[str, Sequence[Mapping[str, str]]]) -> dg.MarkdownMetadataValue:
    """Each file of lookups and timelines that the rows were joined with."""
    return table(
        {"name": name, "source": one["uri"], "sha256": one["sha256"], "licence": one["licence"]}
        for name, origins in beside.items()
        for one in origins
    )
