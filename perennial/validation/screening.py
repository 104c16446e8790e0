"""Screening: the rows that may fail a claim, found by Polars, so that Great Expectations judges only those.

A screen may name a row that holds, never miss one that fails: it knows the expectations whose meaning
Polars shares to the letter, and lets every row through for any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from perennial.validation.suites import Claim


def suspects(inputs: pl.DataFrame, claims: Sequence[Claim]) -> list[pl.Series]:
    """For each of `claims` a mask of the rows of `inputs` that may fail it."""
    return [_may_fail(inputs, claim) for claim in claims]


def _may_fail(inputs: pl.DataFrame, claim: Claim) -> pl.Series:
    screen = _screen(claim.native, claim.arguments, inputs.schema)
    if screen is not None:
        try:
            return inputs.select(screen.fill_null(value=False)).to_series()
        except pl.exceptions.PolarsError:
            pass  # limits of another type than the column's: Great Expectations says so
    return pl.repeat(value=True, n=inputs.height, eager=True)


def _screen(native: str, arguments: Mapping[str, Any], schema: pl.Schema) -> pl.Expr | None:
    """An expression that is true wherever the expectation fails; None lets every row through."""
    match native:
        case "ExpectColumnValuesToNotBeNull":
            column = pl.col(arguments["column"])
            return column.is_null() | column.is_nan() if schema[arguments["column"]].is_float() else column.is_null()
        case "ExpectColumnValuesToBeBetween":
            return _outside(pl.col(arguments["column"]), arguments)
        case "ExpectColumnValuesToBeInSet":
            return pl.col(arguments["column"]).is_in(arguments["value_set"]).not_()
        case "ExpectColumnPairValuesAToBeGreaterThanB":
            return (pl.col(arguments["column_A"]) > pl.col(arguments["column_B"])).not_()
        case "ExpectCompoundColumnsToBeUnique":
            return pl.struct(arguments["column_list"]).is_duplicated()
    return None


def _outside(column: pl.Expr, arguments: Mapping[str, Any]) -> pl.Expr:
    low, high = arguments["min_value"], arguments["max_value"]
    below = pl.lit(value=False) if low is None else column <= low if arguments.get("strict_min") else column < low
    return below if high is None else below | (column > high)
