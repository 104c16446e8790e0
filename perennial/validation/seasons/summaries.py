"""Summaries: what each partition looks like in a few hundred numbers that can be held against its history.

A summary depends on the partition's own rows alone. A value that is null, NaN or infinite counts as
missing. Columns of personal data give counts and no values; names are in the lake, so are these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import polars as pl

from perennial.validation.suites import partition_windows

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
TOP = 40
"""Categories kept of a column, the most frequent."""
RELATED = 14
"""Numbers whose correlations are kept; more would cost more than they tell."""
SAMPLE = 20_000
"""Rows of a partition that correlations are taken from, evenly spread over it."""
SKETCH = 128
"""Smallest row hashes kept, by which the overlap of two partitions is estimated (Broder 1997)."""
FENCE = 3.0
"""Quartile ranges beyond the quartiles from which a value lies far out (Tukey 1977)."""
NORMAL_TAILS = 2.44
"""How many quartile ranges lie between the 5 % and the 95 % quantile of a normal distribution."""
DIGITS = 9
"""Significant digits of what depends on the order of sums beyond that: a summary repeats exactly."""
TOGETHER = 500
"""Statistics of one query: Polars plans a query of thousands more slowly than several."""

SUMMARY_SCHEMA = pl.Schema(
    {"partition": pl.String, "column": pl.String, "statistic": pl.String, "item": pl.String}
    | {"value": pl.Float64, "count": pl.Int64}
)
"""`count` is the number of rows that a value rests on; `column` is empty for the partition as a whole."""

Role = Literal["number", "category", "time", "key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A column of a summary: its values, and which statistics are taken of it."""

    name: str
    role: Role
    value: pl.Expr
    fractional: bool = False
    feeds_model: bool = False
    """Whether a feature reads it, or it is the label."""
    unit: str | None = None
    categorical: bool = False
    """Whether shares of its values are kept."""
    nullable: bool = False
    """Whether a missing value is nothing unusual."""


def watched_columns(pipeline: Pipeline) -> tuple[Watched, ...]:
    """The columns that a summary of `pipeline` describes, in declared order, the label last.

    A time other than the event's is described by its distance from the event, in hours.
    """
    event = pipeline.time.event_time
    found = [
        _watched(pipeline, name, kind)
        for name, kind in ((n, c.kind) for n, c in pipeline.schema.columns.items())
        if name != event
    ]
    label = pipeline.label
    if label.name not in pipeline.schema.columns:
        value = _finite(label.value.cast(pl.Float64))
        found.append(Watched(name=label.name, role="number", value=value, fractional=True, feeds_model=True,
                             unit=label.unit))  # fmt: skip
    return tuple(found)


def summarize_partitions(
    accepted: pl.DataFrame, pipeline: Pipeline, *, quarantined: Mapping[str, int] | None = None
) -> pl.DataFrame:
    """The summary of each partition of `accepted`, of `SUMMARY_SCHEMA`, in order of partitions and statistics.

    `quarantined` says how many landed rows of each partition were not accepted.
    """
    if accepted.is_empty():
        return SUMMARY_SCHEMA.to_frame()
    columns = watched_columns(pipeline)
    rows = _values(accepted, pipeline, columns)
    parts = [
        *_statistics(rows, columns, pipeline.key),
        *_categories(rows, columns),
        _hours(rows),
        _correlations(rows, columns),
        _sketch(rows, columns),
    ]
    if quarantined is not None:
        parts.append(_quarantined(rows, quarantined))
    order = ["partition", "column", "statistic", "item"]
    summary = pl.concat(part.select(SUMMARY_SCHEMA.names()).cast(SUMMARY_SCHEMA) for part in parts)
    kept = summary.filter(pl.col("value").is_finite())
    return kept.with_columns(pl.col("value").round_sig_figs(DIGITS)).sort(order)


def _watched(pipeline: Pipeline, name: str, kind: str) -> Watched:
    declared = pipeline.schema.columns[name]
    value = pl.col(name)
    common = Watched(
        name=name,
        role="number",
        value=value,
        feeds_model=name in pipeline.request_columns or name in pipeline.label.value.meta.root_names(),
        unit=declared.unit,
        nullable=declared.nullable,
    )
    if kind == "datetime":
        hours = (value - pl.col(pipeline.time.event_time)).dt.total_seconds() / 3600
        return replace(common, role="time", value=hours, fractional=True, unit="hours after")
    if declared.pii or (kind == "string" and list(pipeline.key) == [name]):
        return replace(common, role="key")
    if kind in ("string", "bool"):
        return replace(common, role="category", value=value.cast(pl.String), categorical=True)
    fractional = kind.startswith("float")
    number = (_finite(value) if fractional else value).cast(pl.Float64)
    return replace(common, value=number, fractional=fractional, categorical=not fractional)


def _finite(value: pl.Expr) -> pl.Expr:
    return pl.when(value.is_finite()).then(value)


def _values(accepted: pl.DataFrame, pipeline: Pipeline, columns: Sequence[Watched]) -> pl.DataFrame:
    """What is summarized, a column each, with the hours between the partition's start and the event."""
    windows = partition_windows(accepted["partition"], pipeline.time)
    event = pl.col(pipeline.time.event_time)
    keys = [pl.col(name).alias(f"key {name}") for name in pipeline.key]
    return accepted.with_columns(windows["start"].alias("_start"), windows["end"].alias("_end")).select(
        "partition",
        *(column.value.alias(column.name) for column in columns),
        *keys,
        pl.col(pipeline.time.event_time).dt.hour().alias(" hour"),
        ((event - pl.col("_start")).dt.total_seconds() / 3600).alias(" since"),
        ((pl.col("_end") - event).dt.total_seconds() / 3600).alias(" until"),
    )


def _statistics(rows: pl.DataFrame, columns: Sequence[Watched], key: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Everything that one pass by partition gives."""
    named: dict[tuple[str, str], tuple[pl.Expr, pl.Expr]] = {}
    n = pl.len().cast(pl.Float64)
    since = pl.col(" since")
    named["", "rows"] = n, pl.len()
    named["", "duplicates"] = 1 - pl.struct([f"key {name}" for name in key]).n_unique() / n, pl.len()
    named["", "gap"] = since.sort().diff().max(), pl.len()
    named["", "first"], named["", "last"] = (since.min(), pl.len()), (pl.col(" until").min(), pl.len())
    for name, quantile in QUANTILES.items():
        named["", f"moment_{name}"] = since.quantile(quantile, interpolation="linear"), pl.len()
    for column in columns:
        named |= {(column.name, name): both for name, both in _of_column(column).items()}
    names = list(named)
    for first in range(0, len(names), TOGETHER):
        yield _long(rows, {name: named[name] for name in names[first : first + TOGETHER]})


def _of_column(column: Watched) -> dict[str, tuple[pl.Expr, pl.Expr]]:
    x = pl.col(column.name)
    present = x.count()
    found = {"nulls": (x.null_count() / pl.len(), pl.len())}
    if column.role == "key":
        return found
    found["distinct"] = x.n_unique().cast(pl.Float64) - (x.null_count() > 0).cast(pl.Float64), present
    if column.role == "category":
        return found
    quantiles = {name: x.quantile(quantile, interpolation="linear") for name, quantile in QUANTILES.items()}
    found |= {name: (quantile, present) for name, quantile in quantiles.items()}
    low, high = quantiles["p25"], quantiles["p75"]
    reach = FENCE * pl.max_horizontal(high - low, (quantiles["p95"] - quantiles["p05"]) / NORMAL_TAILS)
    far = (reach > 0) & ((x < low - reach) | (x > high + reach))
    found["far"] = far.mean(), present
    found["middle"] = x.filter(~far).mean(), present
    found["negative"] = (x < 0).mean(), present
    found["zero"] = (x == 0).mean(), present
    found["commonest"] = x.drop_nulls().unique_counts().max() / present, present
    if column.fractional:
        found["whole"] = (x == x.round()).mean(), present
    return found


def _long(rows: pl.DataFrame, named: Mapping[tuple[str, str], tuple[pl.Expr, pl.Expr]]) -> pl.DataFrame:
    """One row for each partition and name."""
    wide = rows.lazy().group_by("partition").agg(
        *(value.cast(pl.Float64).alias(f"v{number}") for number, (value, _) in enumerate(named.values())),
        *(count.cast(pl.Int64).alias(f"c{number}") for number, (_, count) in enumerate(named.values())),
    ).collect()  # fmt: skip
    return pl.concat(
        wide.select(
            "partition", column=pl.lit(column), statistic=pl.lit(statistic), item=pl.lit(""),
            value=f"v{number}", count=f"c{number}",
        )
        for number, (column, statistic) in enumerate(named)
    )  # fmt: skip


def _categories(rows: pl.DataFrame, columns: Sequence[Watched]) -> Iterable[pl.DataFrame]:
    """The shares of the most frequent values of each column that has categories, a missing one among them."""
    queries = []
    for column in columns:
        if not column.categorical:
            continue
        counted = rows.lazy().group_by("partition", item=pl.col(column.name)).agg(pl.len().alias("rows"))
        total = pl.col("rows").sum().over("partition")
        ranked = (
            counted.drop_nulls("item").with_columns(total.alias("count")).sort("rows", "item", descending=[True, False])
        )
        top = ranked.group_by("partition", maintain_order=True).head(TOP)
        name = pl.col("item") if column.role == "category" else pl.col("item").cast(pl.Int64)
        queries.append(
            top.select("partition", "count", value=pl.col("rows") / pl.col("count"), item=name.cast(pl.String),
                       column=pl.lit(column.name), statistic=pl.lit("category"))
        )  # fmt: skip
    return pl.collect_all(queries)


def _hours(rows: pl.DataFrame) -> pl.DataFrame:
    """The share of the rows in each hour of the local clock."""
    counted = rows.group_by("partition", pl.col(" hour").alias("item")).agg(pl.len().alias("rows"))
    total = pl.col("rows").sum().over("partition")
    return counted.with_columns(total.alias("count")).select(
        "partition", "count", value=pl.col("rows") / pl.col("count"), column=pl.lit(""), statistic=pl.lit("hour"),
        item=pl.col("item").cast(pl.String).str.zfill(2),
    )  # fmt: skip


def _correlations(rows: pl.DataFrame, columns: Sequence[Watched]) -> pl.DataFrame:
    """Spearman's rank correlation of each two numbers, those that feed the model first."""
    numbers = sorted((c for c in columns if c.role in ("number", "time")), key=lambda c: not c.feeds_model)[:RELATED]
    names = [column.name for column in columns if column in numbers]
    every = pl.len().over("partition").floordiv(SAMPLE) + 1
    thinned = rows.filter(pl.int_range(pl.len()).over("partition") % every == 0)
    ranked = thinned.select("partition", pl.col(names).rank().over("partition"))
    pairs = {
        (first, second): (pl.corr(first, second), (pl.col(first).is_not_null() & pl.col(second).is_not_null()).sum())
        for place, first in enumerate(names)
        for second in names[place + 1 :]
    }
    if not pairs:
        return SUMMARY_SCHEMA.to_frame()
    return _long(ranked, pairs).with_columns(item=pl.col("statistic"), statistic=pl.lit("correlation"))


def _sketch(rows: pl.DataFrame, columns: Sequence[Watched]) -> pl.DataFrame:
    """The smallest hashes of the rows without their times and keys, of 53 bits, so that a float holds them."""
    said = [c.name for c in columns if c.role not in ("key", "time")]
    hashed = rows.select("partition", value=pl.struct(said).hash(seed=7) // 2**11).unique()
    smallest = hashed.sort("partition", "value").group_by("partition", maintain_order=True).head(SKETCH)
    return smallest.select(
        "partition", pl.col("value").cast(pl.Float64), column=pl.lit(""), statistic=pl.lit("sketch"),
        item=pl.int_range(pl.len()).over("partition").cast(pl.String).str.zfill(3),
        count=pl.len().over("partition"),
    )  # fmt: skip


def _quarantined(rows: pl.DataFrame, quarantined: Mapping[str, int]) -> pl.DataFrame:
    counts = rows.group_by("partition").agg(pl.len().alias("accepted"))
    lost = pl.col("partition").replace_strict(dict(quarantined), default=0, return_dtype=pl.Int64)
    landed = pl.col("accepted") + lost
    return counts.select(
        "partition", column=pl.lit(""), statistic=pl.lit("quarantined"), item=pl.lit(""), value=lost / landed,
        count=landed,
    )  # fmt: skip
