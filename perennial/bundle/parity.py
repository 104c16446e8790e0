"""Parity: golden rows, and whether two ways of running one model agree on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.errors import PerennialError
from perennial.featurization.expressions import Feature, featurize
from perennial.schema import Column, Schema

if TYPE_CHECKING:
    import numpy as np

UNSEEN = "never seen before"
"""The text that stands for a category which no row has."""
CATEGORIES = 300
"""Most categories of one column, or one category feature, that get a golden row; the most frequent first."""
INTEGER_KINDS = {"int32": 2**31 - 1, "int64": 2**53}
"""Largest integer of each kind that JSON carries exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityResult:
    """How far one way of running a model is from the model itself, over the golden rows."""

    rows: int
    largest: float
    """The largest |difference| / (1 + |prediction|); infinite when an answer is missing or not a number."""
    within: bool
    """Whether `largest` is at most the tolerance."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a table or JSON."""
        return asdict(self)


def compare(reference: np.ndarray[Any, Any], other: np.ndarray[Any, Any], *, tolerance: float = 1e-4) -> ParityResult:
    """Compare the answers of the fitted model with those of another way of running it.

    A different number of answers, or one that is not finite, is as far as can be.

    >>> import numpy as np
    >>> compare(np.array([1.0, 10.0]), np.array([1.0, 10.0005])).within
    True
    """
    import numpy as np

    ours, theirs = (np.asarray(values, dtype=np.float64).ravel() for values in (reference, other))
    rows = min(len(ours), len(theirs))
    if len(ours) != len(theirs) or not rows or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return ParityResult(rows=rows, largest=float("inf"), within=False)
    largest = float((np.abs(ours - theirs) / (1 + np.abs(ours))).max())
    return ParityResult(rows=rows, largest=largest, within=largest <= tolerance)


def golden_rows(
    frame: pl.DataFrame,
    schema: Schema,
    *,
    features: Iterable[Feature] = (),
    seed: int = 0,
    rows: int = 500,
    categories: int = CATEGORIES,
) -> pl.DataFrame:
    """At least `rows` raw requests, with the columns of `frame`, that exercise a model's every corner.

    Sampled rows (repeated where `frame` has fewer); a row with each category of each text column and
    of each category feature; a category never seen; a null in each nullable column; the least and
    greatest of each number and time, and an integer beyond. Each is a request that `schema` allows.
    Equal input gives equal rows. Raises PerennialError when no row of `frame` is such a request.
    """
    requests = _requests(frame, schema)
    if requests.is_empty():
        raise PerennialError(
            "cannot choose golden rows",
            where="golden rows",
            found=f"{frame.height} rows, each with a null or a number that is not finite",
            expected="at least one row that a request could carry",
        )
    sampled = requests.sample(rows, with_replacement=requests.height < rows, seed=seed, shuffle=True)
    corners = [sampled, *_rows_by_category(requests, features, categories)]
    for name in frame.columns:
        values = _corner_values(requests.get_column(name), schema.columns[name], categories)
        others = requests.sample(len(values), with_replacement=True, seed=seed, shuffle=True)
        corners.append(others.with_columns(pl.Series(name, values, dtype=frame.schema[name])))
    return pl.concat(corners)


def _requests(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """The rows that a request could carry: no null where none is allowed, no number that JSON lacks."""
    present = [pl.col(name).is_not_null() for name in frame.columns if not schema.columns[name].nullable]
    finite = [pl.col(name).is_finite().fill_null(value=True) for name, t in frame.schema.items() if t.is_float()]
    return frame.filter(pl.lit(value=True), *present, *finite)


def _rows_by_category(requests: pl.DataFrame, features: Iterable[Feature], limit: int) -> Iterator[pl.DataFrame]:
    """For each category feature, the first row of each of its most frequent values."""
    for feature in features:
        if feature.kind != "category":
            continue
        values = featurize(requests, [feature]).to_series()
        first = (
            pl.DataFrame({"value": values})
            .with_row_index("row")
            .group_by("value")
            .agg(pl.len(), pl.col("row").first())
            .sort(["len", "value"], descending=[True, False])
        )
        yield requests[first.get_column("row").head(limit)]


def _corner_values(column: pl.Series, declared: Column, limit: int) -> list[Any]:
    """The values of one column that golden rows must hold."""
    known = column.drop_nulls()
    values: list[Any] = [None] if declared.nullable else []
    if declared.kind == "string":
        counts = known.value_counts(name="count").sort(["count", known.name], descending=[True, False])
        return [*values, UNSEEN, "", *counts.get_column(known.name).head(limit)]
    if declared.kind == "bool":
        return [*values, True, False]
    if known.is_empty():
        return values
    values += [known.min(), known.max()]
    if declared.kind in INTEGER_KINDS:
        values.append(min(int(known.max()) + 1, INTEGER_KINDS[declared.kind]))  # type: ignore[arg-type]
    return values
