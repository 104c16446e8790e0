"""Ingestion: files of the source become rows of the declared types, with provenance."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from assets.describe import bullets, column_schema, instant, place, row_counts
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.errors import SchemaSkew, SourceError
from perennial.graph.lineage import inputs_of
from perennial.ingestion.landing import LandedPartition, land
from perennial.stores.clock import Clock
from perennial.stores.operations import PartitionRecord
from perennial.stores.sources import SourceFiles
from perennial.stores.tables import Outcome, Tables

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
        sources: dg.ResourceParam[SourceFiles],
        tables: dg.ResourceParam[Tables],
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.Output[None]]:
        run = RangeRun(context, pipeline, "landed", check=CHECK)
        before = tables.records(pipeline, "landed")
        for keys in run.batches({key: before[key].rows if key in before else 0 for key in run.keys}):
            ready = _land(run, keys, sources, tables, clock)
            if not ready:
                continue

            records = tables.save(
                pipeline,
                "landed",
                pl.concat([partition.frame for partition in ready]),
                {partition.partition: _outcome(pipeline, partition) for partition in ready},
                at=clock.now(),
            )

            for partition in ready:
                record = records[partition.partition]
                run.written(partition.partition, _describe(partition, record), found=f"{record.rows:,} rows landed")
        yield from run.finish()

    return landed


def _land(run: RangeRun, keys: list[str], sources: SourceFiles, tables: Tables, clock: Clock) -> list[LandedPartition]:
    """Read and cast each of `keys`; one that cannot be is blocked, and the rows it held before are kept."""
    ready: list[LandedPartition] = []
    for key in keys:
        signature = None
        try:
            arrival = sources.read(run.pipeline, key, fetched_at=clock.now())
            signature = arrival.signature
            ready.append(land(run.pipeline, arrival))
        except (SourceError, SchemaSkew) as error:
            signature = error.signature if isinstance(error, SourceError) else signature
            outcome = Outcome(blocked=str(error), provenance={"signature": signature})
            tables.block(run.pipeline, "landed", key, outcome, at=clock.now())
            run.block(key, str(error))
    return ready


def _outcome(pipeline: Pipeline, partition: LandedPartition) -> Outcome:
    return Outcome(
        inputs=inputs_of(pipeline, "landed", partition.provenance["sha256"]),
        provenance=partition.provenance,
        known_at=partition.known_at,
    )


def _describe(partition: LandedPartition, record: PartitionRecord) -> dict[str, Any]:
    provenance = partition.provenance
    return {
        **row_counts(record.rows),
        "source": place(provenance["uri"]),
        "sha256": provenance["sha256"],
        "bytes": provenance["bytes"],
        "licence": provenance["licence"],
        "known_at": instant(partition.known_at),
        "revision": record.revision,
        "table_version": record.table_version,
        "content_hash": record.content_hash,
        "casts": bullets(partition.notes),
    }
