"""States: what each aggregate was at the ends of partitions, as one could know it then.

A state belongs to a partition's end T. The first becomes known at T + known_after; a correction of a
row in its window that arrives before the next end makes a further state of T, known on arrival.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

from perennial.featurization.aggregates import Aggregate, entity_columns, groups_of
from perennial.featurization.exact import total_of
from perennial.featurization.partials import end_columns, end_of, sum_columns
from perennial.time import Calendar, Window

if TYPE_CHECKING:
    from perennial.declaration import Pipeline


INSTANT = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One moment at which the aggregates of a partition's end became known."""

    partition: str
    end: date
    """The local day on which the partition ends; a window holds the whole days before it."""
    known_at: datetime


def states_of(pipeline: Pipeline, keys: Iterable[str], arrivals: Mapping[str, Iterable[datetime]]) -> list[State]:
    """The states of the partitions `keys`, in order of time.

    `arrivals` holds, by partition, the instants at which revisions of its rows became known.
    """
    calendar, found = pipeline.time, []
    for key in sorted(set(keys)):
        known_at, following = calendar.known_at(key), following_known_at(calendar, key)
        changes = {at for source in window_keys(pipeline, key) for at in arrivals.get(source, ())}
        further = sorted(at for at in changes if known_at < at and (following is None or at < following))
        found += [State(partition=key, end=end_day(calendar, key), known_at=at) for at in (known_at, *further)]
    return found


def following_known_at(calendar: Calendar, key: str) -> datetime | None:
    """When the partition after `key` is known, or None when `key` is the calendar's last."""
    if calendar.end is not None and key >= calendar.end:
        return None
    return calendar.known_at(calendar.key_of(calendar.window(key).end))


def end_day(calendar: Calendar, key: str) -> date:
    """The local day on which partition `key` ends."""
    return calendar.window(key).end.astimezone(ZoneInfo(calendar.timezone)).date()


def window_keys(pipeline: Pipeline, key: str) -> tuple[str, ...]:
    """The declared partitions whose rows may lie in the longest window that ends with `key`, oldest first."""
    return _window_keys(pipeline.time, key, max(aggregate.days for aggregate in pipeline.checked_aggregates))


@lru_cache(maxsize=16_384)
def _window_keys(calendar: Calendar, key: str, days: int) -> tuple[str, ...]:
    first = datetime.combine(end_day(calendar, key) - timedelta(days=days), time(), ZoneInfo(calendar.timezone))
    # A row is at most `known_after` younger than the end of its partition.
    start = first.astimezone(UTC) - calendar.known_after
    return tuple(calendar.overlapping(Window(start=start, end=calendar.window(key).end)))


def state_rows(partials: pl.DataFrame, pipeline: Pipeline, states: Sequence[State]) -> pl.DataFrame:
    """The aggregates of each entity in each of `states`, which are in order of time.

    `partials` have two more columns: `since`, when the revision that they are part of was known, and
    `until`, when the next one replaced it (null while none has). A row of nulls says that a correction took an
    entity out of the windows of one end. Within a partition the order is that of the entities.
    """
    aggregates = pipeline.checked_aggregates
    parts = [_of_entity(partials, members, states) for members in groups_of(aggregates).values()]
    blank = state_schema(pipeline).to_frame()
    return pl.concat([blank, *parts], how="diagonal").select(blank.columns)


def state_schema(pipeline: Pipeline) -> pl.Schema:
    """The columns of the aggregates table: `partition`, `known_at`, `by`, entity columns, aggregates as Float32."""
    aggregates = pipeline.checked_aggregates
    entities = {name: pipeline.schema.polars[name] for name in entity_columns(aggregates)}
    when = {"partition": pl.String(), "known_at": INSTANT, "by": pl.String()}
    return pl.Schema(when | entities | {aggregate.name: pl.Float32() for aggregate in aggregates})


def _of_entity(partials: pl.DataFrame, members: Sequence[Aggregate], states: Sequence[State]) -> pl.DataFrame:
    """The states of one entity's aggregates."""
    on, group = ["_state", *members[0].by], members[0].group
    mine = partials.filter(pl.col("by") == group)
    windows = []
    for days in sorted({member.days for member in members}):
        used = [member for member in members if member.days == days]
        windows.append(_of_window(_placed(mine, days, states), members[0].by, used))
    found = windows[0]
    for window in windows[1:]:
        found = found.join(window, on=on, how="full", coalesce=True)
    found = found if len(windows) == 1 else found.sort(*members[0].by, "_state")
    valued = pl.any_horizontal(pl.col(member.name).is_not_null() for member in members)
    stays = found.filter(valued)
    further = [i for i in range(1, len(states)) if states[i].partition == states[i - 1].partition]
    if further:  # only a correction takes an entity out of the windows of one end
        same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in members[0].by)
        goes_on = same & (pl.col("_state").shift(-1) == pl.col("_state") + 1)
        left = stays.filter(~goes_on.fill_null(value=False)).select(pl.col("_state") + 1, *members[0].by)
        stays = pl.concat([stays, left.filter(pl.col("_state").is_in(further))], how="diagonal")
    return _named(stays, states).with_columns(by=pl.lit(group))


def _placed(partials: pl.DataFrame, days: int, states: Sequence[State]) -> pl.DataFrame:
    """Each partial with the consecutive states it counts in: from `_first` up to before `_last`."""
    ends = pl.lit(pl.Series([state.end for state in states], dtype=pl.Date))
    known = pl.lit(pl.Series([state.known_at for state in states], dtype=INSTANT))
    never = pl.lit(states[-1].known_at + timedelta(days=1), INSTANT)
    opened = ends.search_sorted(pl.col("day"), side="right")
    closed = ends.search_sorted(pl.col("day").dt.offset_by(f"{days}d"), side="right")
    learnt = known.search_sorted(pl.max_horizontal("known_at", "since"), side="left")
    replaced = known.search_sorted(pl.col("until").fill_null(never), side="left")
    placed = partials.with_columns(
        pl.max_horizontal(opened, learnt).cast(pl.Int64).alias("_first"),
        pl.min_horizontal(closed, replaced).cast(pl.Int64).alias("_last"),
    )
    return placed.filter(pl.col("_first") < pl.col("_last"))


def _of_window(placed: pl.DataFrame, by: Sequence[str], members: Sequence[Aggregate]) -> pl.DataFrame:
    """The aggregates over one length of window, for each entity and each state that has rows of it, in that order.

    What enters and leaves together is added up first.
    """
    on, sums, ends = [*by, "_state"], sum_columns(members), end_columns(members)
    reach = [end_of(name, name) for name in ends]
    together = placed.group_by(*by, "_first", "_last").agg(pl.col(sums).sum(), *reach)
    if together.get_column("_last").max() == 1:  # all is of the first state
        totals = together.rename({"_first": "_state"}).sort(by)
    else:
        totals = _running(together, by, sums)
        if ends:
            spread = together.select(*by, pl.int_ranges("_first", "_last").alias("_state"), *ends).explode("_state")
            totals = totals.join(spread.group_by(on).agg(reach), on=on, how="left", maintain_order="left")
    return totals.select(*on, *(_value(member).cast(pl.Float32).alias(member.name) for member in members))


def _running(together: pl.DataFrame, by: Sequence[str], sums: Sequence[str]) -> pl.DataFrame:
    """The sums of each entity in each state, from what enters and leaves together.

    It enters at its first state and leaves behind its last; integers make that exact, and bring the running sums back
    to zero behind each entity.
    """
    on = [*by, "_state"]
    enters = together.select(*by, pl.col("_first").alias("_state"), *sums)
    leaves = together.select(*by, pl.col("_last").alias("_state"), *(-pl.col(name) for name in sums))
    changes = pl.concat([enters, leaves]).group_by(on).agg(pl.col(sums).sum()).sort(on)
    return (
        changes.with_columns(pl.col(sums).cum_sum(), pl.col("_state").shift(-1).alias("_next"))
        .filter(pl.sum_horizontal(name for name in sums if name.endswith("_count")) > 0)
        .with_columns(_state=pl.int_ranges("_state", "_next"))
        .explode("_state")
    )


def _value(member: Aggregate) -> pl.Expr:
    """The number that the sums of a window make; null where it has none."""
    count = pl.col(f"{member.value}_count")
    if member.how in ("min", "max"):
        return pl.col(f"{member.value}_{member.how}")
    if member.how == "count":
        return pl.when(count > 0).then(count)
    total = total_of(f"{member.value}_sum")
    if member.how == "sum":
        return pl.when(count > 0).then(total)
    if member.how != "std":
        return pl.when(count > 0).then(total / count)
    spread = (total_of(f"{member.value}_square") - total * total / count) / (count - 1)
    return pl.when(count > 1).then(spread.clip(lower_bound=0.0).sqrt())


def _named(found: pl.DataFrame, states: Sequence[State]) -> pl.DataFrame:
    """`found` with the partition and the time of each state."""
    partitions = pl.lit(pl.Series([state.partition for state in states], dtype=pl.String))
    known = pl.lit(pl.Series([state.known_at for state in states], dtype=INSTANT))
    named = found.with_columns(partition=partitions.gather("_state"), known_at=known.gather("_state"))
    return named.drop("_state")
