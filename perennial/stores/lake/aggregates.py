"""Aggregates: reads partials and states of entities from the lake, and gives rows what they could know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache

import polars as pl

from perennial.declaration import Pipeline
from perennial.featurization.partials import partial_schema
from perennial.featurization.point_in_time import join_point_in_time, visible_keys
from perennial.featurization.states import INSTANT, state_rows, state_schema, states_of, window_keys
from perennial.graph.lineage import Standing
from perennial.graph.records import PartitionRecord
from perennial.stores.lake.tables import Tables, revisions_of

_ALWAYS = datetime.min.replace(tzinfo=UTC)


def compute_states(tables: Tables, standing: Standing, keys: Iterable[str]) -> pl.DataFrame:
    """The rows of table `aggregates` of the partitions `keys`, from the partials that are `standing`, read once."""
    wanted, pipeline = sorted(set(keys)), standing.pipeline
    sources = sorted({source for key in wanted for source in window_keys(pipeline, key)})
    revisions = {source: _revisions(standing, source) for source in sources}
    arrivals = {source: [one.known_at for one in found.values() if one.known_at] for source, found in revisions.items()}
    partials = _partials(tables, pipeline, revisions)
    return state_rows(partials, pipeline, states_of(pipeline, wanted, arrivals))


def with_aggregates(tables: Tables, pipeline: Pipeline, rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` of table `accepted` with the aggregates that were known when each happened, and column `defaulted`.

    Rows of a pipeline without aggregates are returned as they are.
    """
    return joined_aggregates(tables, pipeline)(rows)


def joined_aggregates(tables: Tables, pipeline: Pipeline) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """`with_aggregates` for the parts of a partition, one after the other: what several see is read once."""
    if not pipeline.checked_aggregates:
        return lambda rows: rows
    states = cache(lambda keys: read_states(tables, pipeline, keys))
    return lambda rows: join_point_in_time(rows, states(tuple(visible_keys(pipeline, rows))), pipeline)


def read_states(tables: Tables, pipeline: Pipeline, keys: Iterable[str]) -> pl.DataFrame:
    """The rows of table `aggregates` of those of `keys` that are there."""
    there = tables.records(pipeline, "aggregates")
    found = [key for key in keys if key in there and there[key].status == "ok"]
    blank = pl.DataFrame(schema=state_schema(pipeline))
    if not found:
        return blank
    return tables.read(pipeline, "aggregates", revisions_of(there, found)).select(blank.columns)


def _revisions(standing: Standing, source: str) -> dict[int, PartitionRecord]:
    """The revisions of partition `source` that count: one that was refused leaves the one before it standing."""
    landed = standing.history("landed").get(source, {})
    return {n: record for n, record in landed.items() if not standing.problem_with("partials", source, n)}


def _partials(
    tables: Tables, pipeline: Pipeline, revisions: Mapping[str, Mapping[int, PartitionRecord]]
) -> pl.DataFrame:
    """The partials of the `revisions` of each partition, with the time from and until which each holds."""
    layers: list[dict[str, tuple[int, datetime, datetime | None]]] = []
    for source, found in revisions.items():
        for layer, span in enumerate(_spans(found)):
            layers += [{}] if layer == len(layers) else []
            layers[layer][source] = span
    blank = pl.DataFrame(schema=dict(partial_schema(pipeline)) | {"since": INSTANT, "until": INSTANT})
    return pl.concat([blank, *(_layer(tables, pipeline, layer).select(blank.columns) for layer in layers)])


def _layer(tables: Tables, pipeline: Pipeline, spans: dict[str, tuple[int, datetime, datetime | None]]) -> pl.DataFrame:
    rows = tables.read(pipeline, "partials", {source: number for source, (number, _, _) in spans.items()})
    since = {source: at for source, (_, at, _) in spans.items()}
    until = {source: at for source, (_, _, at) in spans.items()}
    return rows.with_columns(
        pl.col("partition").replace_strict(since, return_dtype=INSTANT).alias("since"),
        pl.col("partition").replace_strict(until, return_dtype=INSTANT).alias("until"),
    )


def _spans(revisions: Mapping[int, PartitionRecord]) -> list[tuple[int, datetime, datetime | None]]:
    """Each revision with the time from and until which it is the last one known; one without a time always was."""
    known = {number: record.known_at or _ALWAYS for number, record in sorted(revisions.items())}
    return [
        (number, since, min((at for other, at in known.items() if other > number), default=None))
        for number, since in known.items()
    ]
