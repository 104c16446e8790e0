"""Revisions: what a later delivery of a partition changes, and since when each of its rows is known.

The first delivery that stood is known when the partition is: its end plus `known_after`, also when it is
read years later. A row that a later delivery changes or adds is known when that delivery arrived; the
others keep the time that they had. Every revision is the whole partition, so that the last one known by
an instant is what was known then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from perennial.declaration import Pipeline
from perennial.graph.records import PartitionRecord
from perennial.ingestion.landing import LandedPartition


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a delivery belongs among the revisions of its partition."""

    number: int
    base: int | None
    """The last accepted revision before it, with which it is compared; None where it has no past to protect."""
    arrived: datetime
    fresh: bool = True
    """Whether no revision has this number yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A delivered partition beside what stood before it, ready to be written.

    Of a delivery that changes nothing, the number is that of its base, and the rows are its base's, with the
    columns that were declared since.
    """

    number: int
    frame: pl.DataFrame
    known_at: datetime
    changed: int = 0
    """Rows that the revision before does not have."""
    removed: int = 0
    """Rows of the revision before that were not delivered again."""
    kept: int = 0
    """Rows of the revision before that stay, because what would replace them came too late."""


def made_from(record: PartitionRecord, contents: Mapping[str, str]) -> bool:
    """Whether a revision was made from `contents`, as far as it read them: a timeline may be declared since."""
    return all(record.inputs.get(name, content) == content for name, content in contents.items())


def place_of(
    history: Mapping[int, PartitionRecord], contents: Mapping[str, str], *, accepted: Collection[int], arrived: datetime
) -> Place:
    """Where a delivery of `contents` belongs, after the revisions in `history`.

    The content of the newest revision again, say under a changed schema, is that revision made again. A
    partition of which no revision was ever `accepted` has no past: nothing can have been made from it.
    """
    if not history:
        return Place(number=1, base=None, arrived=arrived)
    newest = max(history)
    again = history[newest].status == "ok" and made_from(history[newest], contents)
    number = newest if again or history[newest].status != "ok" else newest + 1
    known_at = history[newest].known_at
    if again and known_at is not None:
        arrived = known_at
    base = max((revision for revision in history if revision < number and revision in accepted), default=None)
    return Place(number=number, base=base, arrived=arrived, fresh=number not in history)


def revise(pipeline: Pipeline, landed: LandedPartition, place: Place, base: pl.DataFrame | None) -> Revision:
    """`landed` at its `place`, compared with the rows of revision `place.base`.

    A change that arrives later than the pipeline's `late` policy accepts is written and left to
    validation, which quarantines it; the rows that it would replace stay.
    """
    if base is None:
        return Revision(number=place.number, frame=landed.frame, known_at=landed.known_at)
    shared = [name for name in pipeline.schema.names if name in base.columns]
    new, old = _counted(landed.frame, shared), _counted(base, shared)
    on = [*shared, _NTH]
    joined = new.drop("known_at").join(
        old.select(*on, "known_at"), on=on, how="left", nulls_equal=True, maintain_order="left"
    )
    removed = old.join(new, on=on, how="anti", nulls_equal=True, maintain_order="left").drop(_NTH)
    changed = joined.get_column("known_at").null_count()
    known_at = max(place.arrived, landed.known_at)
    frame = landed.frame
    if pipeline.time.row_known_at is None:
        frame = joined.with_columns(pl.col("known_at").fill_null(known_at)).select(landed.frame.columns)
    follows = place.base is not None and place.number == place.base + 1  # nothing refused stands between the two
    if place.base is not None and follows and place.fresh and not changed and removed.is_empty():
        same = shared == pipeline.schema.names  # else it is the base again, with the columns declared since
        return Revision(number=place.base, frame=base if same else frame, known_at=known_at)
    kept = _kept(pipeline, landed, removed, arrived=place.arrived).select(frame.columns)
    return Revision(
        number=place.number,
        frame=pl.concat([frame, kept]),
        known_at=known_at,
        changed=changed,
        removed=removed.height,
        kept=kept.height,
    )


_NTH = "nth row of its values"


def _counted(frame: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """Rows that are equal told apart by their number, so that one row less is seen."""
    return frame.with_columns(pl.int_range(pl.len()).over(columns).alias(_NTH))


def _kept(pipeline: Pipeline, landed: LandedPartition, removed: pl.DataFrame, *, arrived: datetime) -> pl.DataFrame:
    until = pipeline.late.until(pipeline.time.window(landed.partition).end)
    if until is None or arrived <= until:
        return removed.clear()
    return removed.filter(pl.col("known_at") <= until)
