"""Suites: declared expectations as Great Expectations suites, and the rows that fail them.

Each declared expectation is one Great Expectations expectation, on its column or, where none exists
for it, on a column derived from it (a span in seconds, a share, a mean). A null or NaN passes all but
`not_null`. One validation at a time runs in a process.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.errors import DeclarationError
from perennial.time import Calendar
from perennial.validation.engine import great_expectations
from perennial.validation.expectations import Expectation
from perennial.validation.screening import suspects

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COMPLETE = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
OUTSIDE = "seconds outside the partition"
LATENESS = "seconds from the partition's end to known_at"
_WINDOW = {"start": pl.Datetime("us"), "end": pl.Datetime("us"), "closed": pl.Datetime("us", "UTC")}
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One Great Expectations expectation by name, and the columns that it looks at."""

    native: str
    arguments: Mapping[str, Any]
    inputs: tuple[pl.Expr, ...]
    declared: Expectation


def row_claim(declared: Expectation, schema: pl.Schema, windows: pl.DataFrame) -> Claim:
    """The row expectation `declared` as Great Expectations evaluates it on rows of `schema`.

    `windows` has what `partition_windows` says of each `partition`, in the order of the rows' `partition`.
    """
    column, limits = declared.columns[0], declared.limits
    native, inputs = "ExpectColumnValuesToBeBetween", [pl.col(name) for name in declared.columns]
    arguments: dict[str, Any] = {"column": column}
    match declared.kind:
        case "not_null":
            native = "ExpectColumnValuesToNotBeNull"
        case "between":
            arguments |= _limits(limits["low"], limits["high"], schema[column]) | {"strict_min": limits["strict_low"]}
        case "in_set":
            native, arguments = "ExpectColumnValuesToBeInSet", arguments | {"value_set": list(limits["values"])}
        case "matches":
            native, arguments = "ExpectColumnValuesToMatchRegex", arguments | {"regex": limits["pattern"]}
        case "after" if limits["at_least"] is None and limits["at_most"] is None:
            native = "ExpectColumnPairValuesAToBeGreaterThanB"
            arguments = {"column_A": column, "column_B": declared.columns[1]}
            arguments |= {"ignore_row_if": "either_value_is_missing"}
        case "after":
            span = f"seconds from {declared.columns[1]} to {column}"
            inputs = [_seconds(pl.col(column) - pl.col(declared.columns[1])).alias(span)]
            arguments = {"column": span} | _limits(limits["at_least"], limits["at_most"])
        case "in_partition":
            inputs = [_outside(pl.col(column), windows).alias(f"{OUTSIDE}: {column}")]
            arguments = {"column": f"{OUTSIDE}: {column}"} | _limits(timedelta(0), limits["tolerance"])
        case "on_time":
            inputs = [_seconds(pl.col(column) - pl.lit(windows["closed"])).alias(LATENESS)]
            arguments = {"column": LATENESS} | _limits(None, limits["accept_for"])
        case kind:
            raise ValueError(f"no row expectation of kind {kind!r}")
    return Claim(native=native, arguments=arguments, inputs=tuple(inputs), declared=declared)


def measure_claims(declared: Expectation) -> tuple[Claim, ...]:
    """The partition expectation `declared`, as claims about its measure (`measure_name`) of each partition.

    A measure of a column that does not exist, such as the mean of nulls, fails.
    """
    name = measure_name(declared)
    limits = _limits(declared.limits.get("low"), declared.limits.get("high"))
    natives: dict[str, dict[str, Any]] = {"ExpectColumnValuesToNotBeNull": {}} if declared.columns else {}
    natives |= {"ExpectColumnValuesToBeBetween": limits}
    return tuple(
        Claim(native=native, arguments={"column": name} | arguments, inputs=(pl.col(name),), declared=declared)
        for native, arguments in natives.items()
    )


def unique_claim(declared: Expectation) -> Claim:
    """No two rows of one partition share all values of the declared columns; a row with a null is left out."""
    part = pl.col("partition").rank("dense").cast(pl.Int64).alias("number of the partition")
    arguments = {
        "column_list": ["number of the partition", *declared.columns],
        "ignore_row_if": "any_value_is_missing",
    }
    inputs = (part, *(pl.col(name) for name in declared.columns))
    return Claim(native="ExpectCompoundColumnsToBeUnique", arguments=arguments, inputs=inputs, declared=declared)


def measure_name(declared: Expectation) -> str:
    """What a partition expectation measures, in words."""
    subject = " and ".join(declared.columns)
    return {
        "rows_between": "accepted rows",
        "mean_between": f"mean of {subject}",
        "share_not_null": f"share of rows with {subject}",
        "quarantined_share": "share of landed rows in quarantine",
        "unique": f"rows that share {subject}",
    }[declared.kind]


def measures(accepted: pl.DataFrame, counts: pl.DataFrame, declared: Sequence[Expectation]) -> pl.DataFrame:
    """What the partition expectations measure, a column each (`measure_name`), a row for each of `counts`.

    `counts` has `partition` and its `landed`, `accepted` and `quarantined` rows.
    """
    of_column = {
        measure_name(e): x.mean() if e.kind == "mean_between" else x.is_not_null().mean()
        for e, x in ((e, pl.col(e.columns[0])) for e in declared if e.kind in ("mean_between", "share_not_null"))
    }
    by_partition = accepted.group_by("partition").agg(**of_column)
    return counts.join(by_partition, on="partition", how="left", maintain_order="left").with_columns(
        pl.col("accepted").cast(pl.Float64).alias("accepted rows"),
        (pl.col("quarantined") / pl.col("landed")).alias("share of landed rows in quarantine"),
    )


def partition_windows(partitions: pl.Series, calendar: Calendar) -> pl.DataFrame:
    """Wall-clock `start` and `end` of each of the `partitions` in the calendar's timezone; `closed`, its end in UTC."""
    import numpy as np

    runs = partitions.rle().struct.unnest()
    of_key = {key: (*_wall_clock(key, calendar), calendar.window(key).end) for key in runs["value"].unique()}
    found = pl.DataFrame([of_key[key] for key in runs["value"]], schema=_WINDOW, orient="row")
    return found[np.repeat(np.arange(runs.height), runs["len"])].with_columns(partition=partitions)


def unexpected_rows(frame: pl.DataFrame, claims: Sequence[Claim]) -> list[np.ndarray]:
    """For each claim the row numbers of `frame` that fail it, found by one Great Expectations validation.

    It judges the claims that a row may fail, on the rows that may fail one (`perennial.validation.screening`);
    the others hold. Raises DeclarationError for a claim that cannot be evaluated on its column.
    """
    import numpy as np

    inputs = frame.select(_distinct(claims))
    masks = suspects(inputs, claims)
    found = [np.empty(0, dtype=np.int64) for _ in claims]
    doubtful = [position for position, mask in enumerate(masks) if mask.any()]
    if not doubtful:
        return found
    rows = pl.select(pl.any_horizontal(masks[position] for position in doubtful)).to_series().arg_true()
    asked = [claims[position] for position in doubtful]
    shown = inputs.select(e.meta.output_name() for e in _distinct(asked))
    results = _validate(shown if len(rows) == inputs.height else shown[rows], asked, COMPLETE).results
    numbers = rows.to_numpy().astype(np.int64)
    for position, result in zip(doubtful, results, strict=True):
        found[position] = numbers[np.unique(np.asarray(result.result["unexpected_index_list"], dtype=np.int64))]
    return found


def validate(frame: pl.DataFrame, claims: Sequence[Claim], result_format: Mapping[str, Any] = COMPLETE) -> Any:
    """Great Expectations' own result of validating `frame` against the suite of `claims`, in their order.

    Its `result_format` decides how many failing rows it names. Raises DeclarationError for a claim
    that cannot be evaluated on its column.
    """
    return _validate(frame.select(_distinct(claims)), claims, result_format)


def _validate(inputs: pl.DataFrame, claims: Sequence[Claim], result_format: Mapping[str, Any]) -> Any:
    gx, batch_definition = great_expectations()
    import great_expectations.expectations as gxe

    expectations = [
        getattr(gxe, claim.native)(**claim.arguments, meta={"claim": position, "declared": claim.declared.claim})
        for position, claim in enumerate(claims)
    ]
    suite = gx.ExpectationSuite(name="claims", expectations=expectations)
    data = _to_pandas(inputs)
    with _one_at_a_time:
        found = batch_definition.get_batch({"dataframe": data}).validate(suite, result_format=dict(result_format))
    found.results.sort(key=lambda result: result.expectation_config.meta["claim"])
    for claim, result in zip(claims, found.results, strict=True):
        _refuse_failed(claim, result)
    return found


def _refuse_failed(claim: Claim, result: Any) -> None:
    if "unexpected_count" in result.result:
        return
    raised = [info for info in result.exception_info.values() if isinstance(info, dict)] or [result.exception_info]
    raise DeclarationError(
        f"expectation '{claim.declared.claim}' cannot be evaluated",
        where="expectations",
        found=str(raised[0].get("exception_message") or "no result"),
        expected="limits of the column's own type",
    )


def _to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """`frame` for Great Expectations; integers with nulls stay exact (pandas would make them floats)."""
    import pandas as pd

    data: dict[str, pd.Series[Any]] = {}
    for column in frame.iter_columns():
        if column.dtype.is_integer() and column.null_count():
            exact = column.cast(pl.Int64).fill_null(0).to_numpy()
            data[column.name] = pd.Series(pd.arrays.IntegerArray(exact, column.is_null().to_numpy().copy()))
        else:
            data[column.name] = column.to_pandas()
    return pd.DataFrame(data, index=pd.RangeIndex(frame.height), copy=False)


def _distinct(claims: Sequence[Claim]) -> list[pl.Expr]:
    return list({e.meta.output_name(): e for claim in claims for e in claim.inputs}.values())


def _limits(low: Any, high: Any, dtype: pl.DataType | None = None) -> dict[str, Any]:
    return {"min_value": _limit(low, dtype), "max_value": _limit(high, dtype)}


def _limit(value: Any, dtype: pl.DataType | None) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str) and dtype is not None and dtype.is_temporal():
        return datetime.fromisoformat(value)
    return value


def _seconds(span: pl.Expr) -> pl.Expr:
    return span.dt.total_microseconds() / 1_000_000


def _outside(at: pl.Expr, windows: pl.DataFrame) -> pl.Expr:
    """How far outside its partition each time lies; the partition's end is already outside."""
    before = pl.lit(windows["start"]) - at
    behind = at - pl.lit(windows["end"]) + pl.duration(microseconds=1)
    return pl.when(at.is_not_null()).then(pl.max_horizontal(_seconds(before), _seconds(behind), pl.lit(0.0)))


def _wall_clock(key: str, calendar: Calendar) -> tuple[datetime, datetime]:
    from zoneinfo import ZoneInfo

    window, zone = calendar.window(key), ZoneInfo(calendar.timezone)
    start, end = (instant.astimezone(zone).replace(tzinfo=None) for instant in (window.start, window.end))
    return start, end if end > start else start + (window.end - window.start)  # the hour that clocks repeat
