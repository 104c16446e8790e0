"""Summaries: what each partition looks like in a few hundred numbers that can be held against its history.

A summary depends on the partition's own rows alone. A value that is null, NaN or infinite counts as
missing. Columns of personal data give counts and no values; names are in the lake, so are these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import polars as pl

from perennial.validation.by_partition import Partitions, Values, settled
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
    accepted: pl.DataFrame | pl.LazyFrame, pipeline: Pipeline, *, quarantined: Mapping[str, int] | None = None
) -> pl.DataFrame:
    """The summary of each partition of `accepted`, of `SUMMARY_SCHEMA`, in order of partitions and statistics.

    `quarantined` says how many landed rows of each partition were not accepted. Of a lazy frame with many
    rows a few columns are in memory at a time.
    """
    partitions = Partitions.of(accepted)
    if not partitions.counts:
        return SUMMARY_SCHEMA.to_frame()
    columns = watched_columns(pipeline)
    parts = [*_moments(partitions, pipeline), _sketch(partitions, columns)]
    related, thinned = _related(columns), list[pl.DataFrame]()
    for few in partitions.turns(columns):
        rows = partitions.read(*(column.value.alias(column.name) for column in few))
        thinned.append(_thinned(partitions, rows.select("partition", *(c.name for c in few if c.name in related))))
        values = partitions.ordered(rows)
        parts += [*_statistics(values, few), *_categories(values, few)]
    beside = [rows.drop("partition") for rows in thinned[1:]]
    parts.append(_correlations(pl.concat([thinned[0], *beside], how="horizontal"), related))
    if quarantined is not None:
        parts.append(_quarantined(partitions.counts, quarantined))
    order = ["partition", "column", "statistic", "item"]
    summary = pl.concat(part.select(SUMMARY_SCHEMA.names()).cast(SUMMARY_SCHEMA) for part in parts)
    kept = summary.filter(pl.col("value").is_finite())
    return kept.with_columns(settled(pl.col("value"))).sort(order)


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
        return replace(common, role="key", value=pl.when(value.is_not_null()).then(True))
    if kind in ("string", "bool"):
        return replace(common, role="category", value=value.cast(pl.String), categorical=True)
    fractional = kind.startswith("float")
    number = (_finite(value) if fractional else value).cast(pl.Float64)
    return replace(common, value=number, fractional=fractional, categorical=not fractional)


def _finite(value: pl.Expr) -> pl.Expr:
    return pl.when(value.is_finite()).then(value)


def _moments(partitions: Partitions, pipeline: Pipeline) -> Iterator[pl.DataFrame]:
    """When the rows of each partition happened, how many there are, and how many have the key of another."""
    windows = partition_windows(pl.Series("partition", list(partitions.counts), pl.String), pipeline.time)
    event = pl.col(pipeline.time.event_time)
    start, end = (
        pl.col("partition").replace_strict(windows["partition"], windows[side], return_dtype=pl.Datetime("us"))
        for side in ("start", "end")
    )
    rows = partitions.ordered(
        partitions.read(
            pl.struct(pipeline.key).hash(seed=7).alias("key"),
            event.dt.hour().alias("hour"),
            ((event - start).dt.total_seconds() / 3600).alias("since"),
            ((end - event).dt.total_seconds() / 3600).alias("until"),
        )
    )
    n, since = pl.len().cast(pl.Float64), pl.col("since")
    named = {
        "rows": n,
        "duplicates": 1 - pl.col("key").n_unique() / n,
        "gap": since.sort().diff().max(),
        "first": since.min(),
        "last": pl.col("until").min(),
    } | {f"moment_{name}": since.quantile(q, interpolation="linear") for name, q in QUANTILES.items()}
    yield _long(rows, {("", name): (value, pl.len()) for name, value in named.items()})
    yield from rows.collect(
        _shares(rows, "hour", 24, column="", statistic="hour").with_columns(pl.col("item").str.zfill(2))
    )


def _thinned(partitions: Partitions, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that correlations are taken from."""
    if partitions.are_alone:
        return rows.gather_every(rows.height // SAMPLE + 1)
    every = pl.len().over("partition").floordiv(SAMPLE) + 1
    return rows.filter(pl.int_range(pl.len()).over("partition") % every == 0)


def _statistics(values: Values, columns: Sequence[Watched]) -> Iterator[pl.DataFrame]:
    """Everything that one pass by partition gives."""
    named = {(column.name, name): both for column in columns for name, both in _of_column(column).items()}
    names = list(named)
    for first in range(0, len(names), TOGETHER):
        yield _long(values, {name: named[name] for name in names[first : first + TOGETHER]})


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
    reach = FENCE * pl.max_horizontal(high - low, (quantiles["p95"] - quantiles["p05"]) * (1 / NORMAL_TAILS))
    far = (reach > 0) & ((x < low - reach) | (x > high + reach))
    found["far"] = far.mean(), present
    found["middle"] = x.filter(~far).mean(), present
    found["negative"] = (x < 0).mean(), present
    found["zero"] = (x == 0).mean(), present
    found["commonest"] = x.drop_nulls().sort().rle().struct.field("len").max() / present, present
    if column.fractional:
        found["whole"] = (x == x.round()).mean(), present
    return found


def _long(values: Values, named: Mapping[tuple[str, str], tuple[pl.Expr, pl.Expr]]) -> pl.DataFrame:
    """One row for each partition and name."""
    wanted = values.statistics(
        *(value.cast(pl.Float64).alias(f"v{number}") for number, (value, _) in enumerate(named.values())),
        *(count.cast(pl.Int64).alias(f"c{number}") for number, (_, count) in enumerate(named.values())),
    )
    (wide,) = values.collect(wanted)
    return pl.concat(
        wide.select(
            "partition", column=pl.lit(column), statistic=pl.lit(statistic), item=pl.lit(""),
            value=f"v{number}", count=f"c{number}",
        )
        for number, (column, statistic) in enumerate(named)
    )  # fmt: skip


def _categories(values: Values, columns: Sequence[Watched]) -> list[pl.DataFrame]:
    """The shares of the most frequent values of each column that has categories."""
    wanted = [column for column in columns if column.categorical]
    return values.collect(
        *(_shares(values, c.name, TOP, column=c.name, statistic="category", whole=c.role != "category") for c in wanted)
    )


def _shares(
    values: Values, counted: str, most: int, *, column: str, statistic: str, whole: bool = True
) -> pl.LazyFrame:
    """The shares of the most frequent values of column `counted` among those that are not missing."""
    present = values.statistics(pl.col(counted).count().alias("count"))
    item = pl.col("item").cast(pl.Int64) if whole else pl.col("item")
    return values.commonest(counted, most).join(present, on="partition").select(
        "partition", pl.col("count").cast(pl.Int64), value=pl.col("rows") / pl.col("count"), item=item.cast(pl.String),
        column=pl.lit(column), statistic=pl.lit(statistic),
    )  # fmt: skip


def _related(columns: Sequence[Watched]) -> list[str]:
    """The numbers whose correlations are kept, those that feed the model before others."""
    numbers = sorted((c for c in columns if c.role in ("number", "time")), key=lambda c: not c.feeds_model)[:RELATED]
    return [column.name for column in columns if column in numbers]


def _correlations(thinned: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Spearman's rank correlation of each two of the columns `names`."""
    ranked = thinned.lazy().select("partition", pl.col(names).rank().over("partition"))
    pairs = {
        (first, second): (pl.corr(first, second), (pl.col(first).is_not_null() & pl.col(second).is_not_null()).sum())
        for place, first in enumerate(names)
        for second in names[place + 1 :]
    }
    if not pairs:
        return SUMMARY_SCHEMA.to_frame()
    found = _long(Values(frame=ranked, alone=False), pairs)
    return found.with_columns(item=pl.col("statistic"), statistic=pl.lit("correlation"))


def _sketch(partitions: Partitions, columns: Sequence[Watched]) -> pl.DataFrame:
    """The smallest hashes of the rows without their times and keys, of 53 bits, so that a float holds them."""
    said = [column.value.alias(column.name) for column in columns if column.role not in ("key", "time")]
    hashed = partitions.ordered(partitions.read((pl.struct(said).hash(seed=7) // 2**11).alias("value")))
    (smallest,) = hashed.collect(
        hashed.statistics(pl.col("value").unique().sort().head(SKETCH).implode()).explode("value")
    )
    return smallest.select(
        "partition", pl.col("value").cast(pl.Float64), column=pl.lit(""), statistic=pl.lit("sketch"),
        item=pl.int_range(pl.len()).over("partition").cast(pl.String).str.zfill(3),
        count=pl.len().over("partition"),
    )  # fmt: skip


def _quarantined(counts: Mapping[str, int], quarantined: Mapping[str, int]) -> pl.DataFrame:
    """The share of the landed rows of each partition that were not accepted."""
    landed = {key: rows + quarantined.get(key, 0) for key, rows in counts.items()}
    return pl.DataFrame({
        "partition": list(counts), "column": "", "statistic": "quarantined", "item": "",
        "value": [quarantined.get(key, 0) / of for key, of in landed.items()], "count": list(landed.values()),
    })  # fmt: skip
