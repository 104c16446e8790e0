"""Description of aggregates: what a person sees of one partition's entities and of the rows that met them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.featurization.aggregates import Aggregate, groups_of
from perennial.featurization.point_in_time import DEFAULTED

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

TOP = 8
BARS = "▁▂▃▄▅▆▇█"
BINS = 16
TAIL = 0.01
"""Share of the values at either end that the outermost bars hold."""


def entity_counts(states: pl.DataFrame, pipeline: Pipeline) -> dict[str, int]:
    """The entities that have a value in the newest of the `states` of one partition, plotted over partitions."""
    newest = newest_of(states)
    found: dict[str, int] = {}
    for group, members in groups_of(pipeline.checked_aggregates).items():
        valued = pl.any_horizontal(pl.col(member.name).is_not_null() for member in members)
        found[f"entities {group}"] = newest.filter((pl.col("by") == group) & valued).height
    return found


def value_rows(states: pl.DataFrame, pipeline: Pipeline) -> list[dict[str, Any]]:
    """One row an aggregate: how its values spread over the entities, with a small histogram."""
    newest = newest_of(states)
    return [
        {"aggregate": a.name, **_spread(newest.filter(pl.col("by") == a.group).get_column(a.name).drop_nulls())}
        for a in pipeline.checked_aggregates
    ]


def top_entities(states: pl.DataFrame, pipeline: Pipeline) -> dict[str, list[dict[str, Any]]]:
    """By entity: those with the largest first aggregate, with all of their aggregates; personal data is left out."""
    newest, columns = newest_of(states), pipeline.schema.columns
    found: dict[str, list[dict[str, Any]]] = {}
    for group, members in groups_of(pipeline.checked_aggregates).items():
        if not any(columns[name].pii for name in members[0].by):
            names = [member.name for member in members]
            mine = newest.filter(pl.col("by") == group).drop_nulls(names[0]).select(*members[0].by, *names)
            found[group] = mine.sort(names[0], *members[0].by, descending=True).head(TOP).to_dicts()
    return found


def default_shares(rows: pl.DataFrame, pipeline: Pipeline) -> dict[str, float]:
    """By aggregate: the share of `rows` that hold its default, because nothing was known of their entity."""
    if not pipeline.checked_aggregates or rows.is_empty():
        return {}
    names = rows.get_column(DEFAULTED).str.split(",").explode().value_counts().rows()
    counts = dict(names)
    return {f"share at default: {a.name}": counts.get(a.name, 0) / rows.height for a in pipeline.checked_aggregates}


def newest_of(states: pl.DataFrame) -> pl.DataFrame:
    """The rows of the last state known among those of one partition."""
    return states.filter(pl.col("known_at") == pl.col("known_at").max())


def describe_aggregate(aggregate: Aggregate) -> str:
    """It in words, such as `mean of minutes by pickup_zone, the last 28 days`."""
    what = "rows" if aggregate.expression is None else aggregate.value
    return f"{aggregate.how} of {what} by {', '.join(aggregate.by)}, the last {aggregate.days} days"


def _spread(values: pl.Series) -> dict[str, Any]:
    low, middle, high = (values.quantile(share, "nearest") for share in (TAIL, 0.5, 1 - TAIL))
    if low is None or high is None:
        return {"entities": 0, "1 %": None, "median": None, "99 %": None, "": ""}
    width = (high - low) / BINS or 1.0
    bins = ((values - low) / width).floor().clip(0, BINS - 1).cast(pl.Int64).value_counts()
    counts = dict(bins.rows())
    most = max(counts.values())
    bars = "".join(BARS[round(counts.get(n, 0) / most * (len(BARS) - 1))] for n in range(BINS))
    return {"entities": values.len(), "1 %": low, "median": middle, "99 %": high, "": bars}
