"""By partition: statistics of many small partitions at once, or of one that fits in memory only by columns.

One partition alone needs no groups, and its columns are sorted: then ranks and counts need no tables of
hashes, which would be larger than the column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

VALUES = 20_000_000
"""Values in memory at once: of rows with more, a few columns are looked at in turn."""

DIGITS = 9
"""Significant digits of sums, which depend on the order of their terms beyond that: what is summed repeats exactly."""
NUDGE = 1 + 2.0**-37
"""Moves a mean of decimals, which often lies just between two numbers of so many digits, to one side."""

T = TypeVar("T")


def settled(value: pl.Expr) -> pl.Expr:
    """`value`, a result of sums, as far as the order of their terms does not decide.

    >>> pl.Series([5.655703125, 5.655703125 - 1e-15]).to_frame("x").select(settled(pl.col("x"))).to_series().to_list()
    [5.65570313, 5.65570313]
    """
    return (value * NUDGE).round_sig_figs(DIGITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitions:
    """Rows with a column `partition`, in memory or to be read a few columns at a time."""

    rows: pl.LazyFrame
    counts: Mapping[str, int]
    """Rows by partition, in order."""

    @classmethod
    def of(cls, rows: pl.DataFrame | pl.LazyFrame) -> Partitions:
        """The partitions of `rows`; of a lazy frame each column is read when its turn comes."""
        counted = rows.lazy().group_by("partition").agg(pl.len()).sort("partition").collect()
        return cls(rows=rows.lazy(), counts=dict(counted.iter_rows()))

    @property
    def are_alone(self) -> bool:
        """Whether there is one partition at most."""
        return len(self.counts) <= 1

    def turns(self, columns: Sequence[T]) -> Iterator[Sequence[T]]:
        """`columns`, as many at a time as memory should hold."""
        at_once = max(1, VALUES // max(1, sum(self.counts.values())))
        return (columns[first : first + at_once] for first in range(0, len(columns), at_once))

    def read(self, *values: pl.Expr) -> pl.DataFrame:
        """`values` of every row behind its `partition`, in a type of one byte or few."""
        partition = pl.col("partition").cast(pl.Enum(list(self.counts)))
        return self.rows.select(partition, *values).collect(engine="streaming")

    def ordered(self, values: pl.DataFrame) -> Values:
        """`values` for statistics that know no order of rows."""
        if self.are_alone:
            values = values.select("partition", pl.exclude("partition").sort())
        return Values(frame=values.lazy(), alone=self.are_alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Columns of values by partition; those of one partition alone are sorted, each for itself."""

    frame: pl.LazyFrame
    alone: bool

    def collect(self, *queries: pl.LazyFrame) -> list[pl.DataFrame]:
        """What `queries` over the columns find; of one partition in memory, where it is seen that they are sorted."""
        return pl.collect_all(queries, engine="in-memory" if self.alone else "auto")

    def select(self, *columns: str, **named: pl.Expr) -> Values:
        """Some of the columns, and what grows with them."""
        return Values(frame=self.frame.select("partition", *columns, **named), alone=self.alone)

    def beside(self, statistics: pl.LazyFrame) -> Values:
        """The columns of each partition beside its row of `statistics`; none of a partition without one."""
        if not self.alone:
            return Values(frame=self.frame.join(statistics, on="partition"), alone=False)
        (found,) = self.collect(statistics.drop("partition"))
        rows = self.frame if found.height else self.frame.clear()
        constants = [pl.lit(found.get_column(name).first(), dtype).alias(name) for name, dtype in found.schema.items()]
        return Values(frame=rows.with_columns(constants), alone=True)

    def statistics(self, *wanted: pl.Expr) -> pl.LazyFrame:
        """A row for each partition with the aggregates `wanted`."""
        if self.alone:
            return self.frame.select(pl.col("partition").first(), *wanted)
        return self.frame.group_by("partition").agg(*wanted)

    def frequencies(self, column: str) -> pl.LazyFrame:
        """How many `rows` of each `partition` hold each `item` of `column`; a missing value is none."""
        if self.alone:
            runs = pl.col(column).drop_nulls().rle()
            found = self.frame.select(pl.col("partition").first(), runs.alias("run")).unnest("run")
            return found.select("partition", item="value", rows="len")
        return self.frame.drop_nulls(column).group_by("partition", item=pl.col(column)).agg(rows=pl.len())

    def commonest(self, column: str, most: int) -> pl.LazyFrame:
        """The first `most` of the frequencies of each partition; of equal ones the smallest items first."""
        ranked = self.frequencies(column).sort("rows", "item", descending=[True, False])
        return ranked.head(most) if self.alone else ranked.group_by("partition", maintain_order=True).head(most)
