"""Panel: the summaries of many partitions as one matrix, so that history is a slice of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A statistic of a column, or of two."""

    column: str
    statistic: str
    item: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Summaries of many partitions as one matrix: a row each, a column for each statistic."""

    partitions: tuple[str, ...]
    names: tuple[Name, ...]
    values: Array
    """NaN where a partition lacks the statistic; 0 for a category or hour that it has not."""
    counts: Array
    sketches: tuple[frozenset[float], ...]

    @cached_property
    def place(self) -> Mapping[Name, int]:
        """Column of each name."""
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def row(self) -> Mapping[str, int]:
        """Row of each partition."""
        return {key: number for number, key in enumerate(self.partitions)}

    def of(self, column: str, statistic: str) -> Array | None:
        """One statistic over all partitions."""
        place = self.place.get(Name(column=column, statistic=statistic))
        return None if place is None else self.values[:, place]


def panel_of(summaries: pl.DataFrame) -> Panel:
    """The matrix of `summaries`, of `SUMMARY_SCHEMA`, in order of partitions."""
    import numpy as np

    key = ["column", "statistic", "item"]
    sketches = summaries.filter(pl.col("statistic") == "sketch")
    rows = summaries.filter(pl.col("statistic") != "sketch")
    partitions = summaries["partition"].unique().sort()
    names = rows.select(key).unique().sort(key)
    placed = rows.join(names.with_row_index("place"), on=key, how="left").join(
        partitions.to_frame().with_row_index("row"), on="partition", how="left"
    )
    values = np.full((len(partitions), names.height), np.nan)
    counts = np.zeros((len(partitions), names.height))
    at = placed["row"].to_numpy(), placed["place"].to_numpy()
    values[at], counts[at] = placed["value"].to_numpy(), placed["count"].to_numpy()
    listed = tuple(Name(**row) for row in names.iter_rows(named=True))
    _fill_shares(listed, values, counts)
    held = dict(sketches.group_by("partition").agg("value").iter_rows())
    return Panel(
        partitions=tuple(partitions), names=listed, values=values, counts=counts,
        sketches=tuple(frozenset(held.get(key, ())) for key in partitions),
    )  # fmt: skip


def _fill_shares(names: Sequence[Name], values: Array, counts: Array) -> None:
    """A category or hour that a partition does not name has share 0, where the partition has others of it."""
    import numpy as np

    groups: dict[tuple[str, str], list[int]] = {}
    for place, name in enumerate(names):
        if name.statistic in ("category", "hour"):
            groups.setdefault((name.column, name.statistic), []).append(place)
    for places in groups.values():
        known = np.atleast_1d(np.isfinite(values[:, places]).any(axis=1))
        rows = counts[:, places].max(axis=1)
        filled = np.where(np.isnan(values[:, places]) & known[:, None], 0.0, values[:, places])
        values[:, places], counts[:, places] = filled, np.where(known, rows, 0)[:, None]
