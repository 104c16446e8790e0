"""Profiling: what the accepted rows of each partition look like, as a table and as a picture.

A value that is null, NaN or infinite counts as missing. Values of a column that holds personal data
are counted and never shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.drawing import BLUE, FAINT, INK, blank_figure, png
from perennial.schema import Schema
from perennial.validation.by_partition import Partitions, Values, settled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 24
TOP = 10
TAIL = 0.005
"""Share of the values at either end that falls into the outermost bins, so that one outlier hides nothing."""
UNPROFILED = ("partition", "event_time", "known_at", "reason", "revision")
QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
FREQUENT = 3
"""Most frequent values in the table of a partition."""
PANELS = 24
"""Columns drawn in one picture."""

PROFILE_SCHEMA = pl.Schema(
    {"partition": pl.String, "column": pl.String, "kind": pl.String, "unit": pl.String}
    | {"count": pl.Int64, "nulls": pl.Int64, "distinct": pl.Int64}
    | dict.fromkeys(("min", "max", "mean", "std", *QUANTILES), pl.Float64)
    | {"top": pl.List(pl.Struct({"value": pl.String, "count": pl.Int64}))}
    | {"edges": pl.List(pl.Float64), "counts": pl.List(pl.Int64)}
)
"""Kinds are number, text, bool and datetime; a datetime's numbers are seconds since 1970 on its own clock."""


def profile_partitions(accepted: pl.DataFrame | pl.LazyFrame, schema: Schema | None = None) -> pl.DataFrame:
    """One row for each partition and column, of `PROFILE_SCHEMA`, in the order of partitions and columns.

    `schema` adds units, leaves out what it does not declare and hides personal data. Of a lazy frame with
    many rows a few columns are in memory at a time.
    """
    types = accepted.lazy().collect_schema()
    names = [n for n in types if n not in UNPROFILED and (schema is None or n in schema.columns)]
    partitions = Partitions.of(accepted)
    profiles = [PROFILE_SCHEMA.to_frame()]
    for few in partitions.turns(names) if partitions.counts else ():
        values = partitions.ordered(partitions.read(*(_value(name, types[name]).alias(name) for name in few)))
        profiles += values.collect(*(_profile(values, name, types[name], schema) for name in few))
    return pl.concat(profiles).sort("partition", pl.col("column").cast(pl.Enum(names)))


def summary_row(profile: Mapping[str, Any]) -> dict[str, Any]:
    """What a person reads of one row of a profile; a datetime's numbers as the times that they are."""
    shown = {name: profile[name] for name in ("column", "kind", "unit", "count", "nulls", "distinct")}
    numbers = {name: profile[name] for name in ("min", "p05", "p50", "mean", "p95", "max")}
    if profile["kind"] == "datetime":
        numbers = {name: s if s is None else datetime.fromtimestamp(s, UTC) for name, s in numbers.items()}
    known = profile["count"] - profile["nulls"]
    frequent = [f"{_short(item['value'], 20)} {_percent(item['count'] / known)}" for item in profile["top"] or ()]
    return shown | numbers | {"most frequent": ", ".join(frequent[:FREQUENT])}


def histogram_picture(profile: pl.DataFrame) -> bytes:
    """PNG of the profile of one partition: a small panel for each of its first columns worth drawing."""
    import matplotlib as mpl

    drawn = [row for row in profile.iter_rows(named=True) if _worth_drawing(row)][:PANELS]
    across = min(4, max(1, len(drawn)))
    down = -(-len(drawn) // across) or 1
    with mpl.rc_context({"font.size": 7, "axes.linewidth": 0.5, "text.color": INK, "font.family": "DejaVu Sans"}):
        figure = blank_figure(across * 2.3, down * 1.45 + 0.35, dpi=100, arranged=False)
        figure.suptitle(_title(profile, len(drawn)), x=0.01, y=1 - 0.08 / figure.get_figheight(), ha="left", fontsize=9)
        for position, row in enumerate(drawn, start=1):
            _draw(figure.add_subplot(down, across, position), row)
        margin = 0.36 / figure.get_figheight()
        figure.subplots_adjust(
            left=0.02, right=0.985, bottom=0.2 / figure.get_figheight(), top=1 - 1.5 * margin, hspace=0.5, wspace=0.12
        )
        return png(figure)


def _profile(values: Values, name: str, dtype: pl.DataType, schema: Schema | None) -> pl.LazyFrame:
    kind = _kind(dtype)
    declared = schema.columns[name] if schema else None
    x, number = pl.col(name), pl.col(name).cast(pl.Float64)
    values = values.select(name)
    statistics = values.statistics(
        pl.len().cast(pl.Int64).alias("count"),
        x.null_count().cast(pl.Int64).alias("nulls"),
        x.drop_nulls().n_unique().cast(pl.Int64).alias("distinct"),
        *(_numbers(number) if kind != "text" else []),
    )
    parts = []
    if kind != "datetime" and not dtype.is_float():
        parts.append(_top_values(values, name))
    if kind in ("number", "datetime"):
        parts.append(_histogram(values, name))
    for part in parts:
        statistics = statistics.join(part, on="partition", how="left")
    statistics = statistics.with_columns(
        column=pl.lit(name), kind=pl.lit(kind), unit=pl.lit(declared.unit if declared else None)
    )
    hidden = {"min", "max", "top", "edges", "counts", *QUANTILES} if declared and declared.pii else set()
    known = set(statistics.collect_schema().names()) - hidden
    return statistics.select(
        (pl.col(field) if field in known else pl.lit(None)).cast(of).alias(field)
        for field, of in PROFILE_SCHEMA.items()
    )


def _kind(dtype: pl.DataType) -> str:
    if dtype == pl.Boolean:
        return "bool"
    if dtype.is_temporal():
        return "datetime"
    return "number" if dtype.is_numeric() else "text"


def _value(name: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(name)
    if dtype.is_temporal():
        # in two parts: Polars 2.1 divides many rows through a reciprocal, which differs in the last digit from one row
        micros = value.cast(pl.Datetime("us")).dt.epoch("us")
        return (micros // 1_000_000).cast(pl.Float64) + (micros % 1_000_000).cast(pl.Float64) * 1e-6
    return pl.when(value.is_finite()).then(value) if dtype.is_float() else value


def _numbers(number: pl.Expr) -> Iterator[pl.Expr]:
    yield from (
        number.min().alias("min"),
        number.max().alias("max"),
        settled(number.mean()).alias("mean"),
        settled(number.std()).alias("std"),
    )
    for name, quantile in QUANTILES.items():
        yield number.quantile(quantile, interpolation="linear").alias(name)


def _top_values(values: Values, name: str) -> pl.LazyFrame:
    """The most frequent values of each partition; of equally frequent ones the first in order."""
    pair = pl.struct(pl.col("item").cast(pl.String).alias("value"), pl.col("rows").cast(pl.Int64).alias("count"))
    return values.commonest(name, TOP).group_by("partition", maintain_order=True).agg(pair.alias("top"))


def _histogram(values: Values, name: str) -> pl.LazyFrame:
    """Edges and counts of `BINS` equal bins over each partition; the outermost hold the tails too."""
    number = pl.col(name).cast(pl.Float64)
    spread = values.statistics(number.quantile(TAIL).alias("low"), number.quantile(1 - TAIL).alias("high"))
    flat = pl.col("high") <= pl.col("low")
    spread = spread.drop_nulls("low").with_columns(
        low=pl.when(flat).then(pl.col("low") - 0.5).otherwise("low"),
        # Polars divides one row by a number, and many by its reciprocal: a partition alone has one.
        width=pl.when(flat).then(1.0).otherwise(pl.col("high") - pl.col("low")) * (1 / BINS),
    )
    spread = spread.with_columns(scale=1.0 / pl.col("width"))
    bins = pl.DataFrame({"bin": range(BINS)}, schema={"bin": pl.Int64}).lazy()
    place = ((number - pl.col("low")) * pl.col("scale")).floor().clip(0, BINS - 1).cast(pl.Int64)
    counted = values.beside(spread).select(bin=place).frequencies("bin")
    filled = spread.join(bins, how="cross").join(counted.rename({"item": "bin"}), on=["partition", "bin"], how="left")
    edge = pl.col("low").first() + pl.col("width").first() * pl.int_range(BINS + 1)
    return (
        filled.sort("partition", "bin")
        .group_by("partition", maintain_order=True)
        .agg(edge.alias("edges"), pl.col("rows").fill_null(0).cast(pl.Int64).alias("counts"))
    )


def _worth_drawing(row: Mapping[str, Any]) -> bool:
    """Whether a panel would say something: a text that is different in each row would not."""
    if row["count"] == row["nulls"] or not (row["top"] or row["counts"]):
        return False
    return row["kind"] != "text" or bool(row["distinct"] < 0.9 * (row["count"] - row["nulls"]))


def _title(profile: pl.DataFrame, drawn: int) -> str:
    if not profile.height:
        return "no rows"
    columns = f"{drawn} of {profile.height} columns"
    return f"{profile['partition'][0]}: {profile['count'][0]:,} accepted rows, {columns}; dashed: median"


def _draw(axes: Axes, row: Mapping[str, Any]) -> None:
    unit = f" [{row['unit']}]" if row["unit"] else ""
    missing = row["nulls"] / row["count"]
    note = f"{_percent(missing)} missing" if missing else ""
    axes.set_title(_short(row["column"], 26) + unit, loc="left", fontsize=7.5, pad=3)
    axes.set_title(note, loc="right", fontsize=6, color="#b45309", pad=3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(length=2, width=0.5, color=FAINT, labelcolor=INK, pad=2)
    axes.set_yticks([])
    if _is_category(row):
        _draw_bars(axes, row["top"], row["count"] - row["nulls"])
    else:
        _draw_histogram(axes, row)


def _is_category(row: Mapping[str, Any]) -> bool:
    """Whether to draw the most frequent values: texts, and numbers of few values."""
    return not row["counts"] or (bool(row["top"]) and row["distinct"] <= TOP)


def _draw_bars(axes: Axes, top: Sequence[Mapping[str, Any]], rows: int) -> None:
    shown = list(top[:6])
    places = range(len(shown))
    shares = [item["count"] / rows for item in shown]
    axes.barh(places, shares, height=0.78, color=BLUE, alpha=0.55)
    for place, item, share in zip(places, shown, shares, strict=True):
        words = f"{_short(item['value'], 22)}  {_percent(share)}"
        axes.text(0.02, place, words, va="center", fontsize=6.5, transform=axes.get_yaxis_transform())
    axes.set_xlim(0, max(max(shares) * 1.05, 0.05))
    axes.set_ylim(max(len(shown), 4) - 0.4, -0.6)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def _draw_histogram(axes: Axes, row: Mapping[str, Any]) -> None:
    edges, counts = row["edges"], row["counts"]
    axes.stairs(counts, edges, fill=True, color=BLUE)
    axes.axvline(row["p50"], color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
    axes.set_xlim(edges[0], edges[-1])
    marks = [edges[0], (edges[0] + edges[-1]) / 2, edges[-1]]
    span = edges[-1] - edges[0]
    axes.set_xticks(marks, [_mark(mark, row["kind"], span) for mark in marks])
    first, _, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")


def _mark(value: float, kind: str, span: float) -> str:
    if kind == "datetime":
        at = datetime.fromtimestamp(value, UTC)
        return f"{at:%H:%M}" if span < 2 * 86_400 else f"{at.day} {at:%b}"
    if abs(value) < 1e-9 * span:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
