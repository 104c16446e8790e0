"""Preparation: what a model learns about its inputs before it learns the label, and how that exports.

Fitted on the rows to learn from only. Each step computes the same numbers in numpy and in ONNX.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.errors import PerennialError
from perennial.training.candidates.graph import constant, node

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from perennial.featurization.expressions import Feature
    from perennial.training.candidates.base import Rows


def usable(features: Sequence[Feature], ignore: Iterable[str], *, where: str) -> tuple[Feature, ...]:
    """The features that a candidate learns from. Raises PerennialError when none is left."""
    kept = tuple(feature for feature in features if feature.name not in set(ignore))
    if not kept:
        raise PerennialError(
            "no feature is left to learn from", where=where, found=f"ignore={tuple(ignore)!r}", expected="at least one"
        )
    return kept


def labels_of(rows: Rows, *, where: str) -> np.ndarray[Any, Any]:
    """The labels to learn from. Raises PerennialError when there is none, or one is not finite."""
    import numpy as np

    label = np.asarray(rows.label, dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(label))
    if len(wrong) or not len(label):
        raise PerennialError(
            "cannot learn from these labels",
            where=where,
            found=f"{label[wrong[0]]} in row {wrong[0]}" if len(wrong) else "no rows",
            expected="at least one row, each with a finite label",
        )
    return label


def classes_of(rows: Rows, *, where: str) -> np.ndarray[Any, Any]:
    """The labels of a classification. Raises PerennialError when one is neither 0 nor 1, or all are the same."""
    import numpy as np

    label = labels_of(rows, where=where)
    wrong = np.flatnonzero((label != 0) & (label != 1))
    if len(wrong):
        found = f"{label[wrong[0]]:g} in row {wrong[0]}"
        raise PerennialError("cannot learn from these labels", where=where, found=found, expected="0 or 1 in each row")
    if label.min() == label.max():
        raise PerennialError(
            "cannot tell classes apart",
            where=where,
            found=f"only the label {label[0]:g}, in {len(label)} rows",
            expected="rows of label 0 and rows of label 1",
            hint="check the label's expression, or train on a longer window",
        )
    return label


def names_of(features: Iterable[Feature], kind: str) -> tuple[str, ...]:
    """The names of the features of one kind, in order."""
    return tuple(feature.name for feature in features if feature.kind == kind)


def number_matrix(frame: pl.DataFrame, names: Sequence[str]) -> np.ndarray[Any, Any]:
    """The named numbers as float32, one column each, NaN for a null."""
    import numpy as np

    columns = [frame.get_column(name).cast(pl.Float32).fill_null(float("nan")).to_numpy() for name in names]
    return np.column_stack(columns) if columns else np.empty((frame.height, 0), dtype=np.float32)


def frequent(values: pl.Series, limit: int) -> list[str]:
    """The `limit` most frequent categories, ties by name; a null counts as the category ""."""
    counts = values.fill_null("").alias("category").value_counts(name="count")
    return counts.sort(["count", "category"], descending=[True, False]).get_column("category").head(limit).to_list()


def codes(frame: pl.DataFrame, name: str, known: Sequence[str]) -> np.ndarray[Any, Any]:
    """The place of each row's category among the `known`, from 1; 0 for every other."""
    import numpy as np

    if not known:
        return np.zeros(frame.height, dtype=np.int64)
    column = frame.get_column(name).fill_null("")
    places = pl.int_range(1, len(known) + 1, eager=True)
    return column.replace_strict(pl.Series(known), places, default=pl.lit(0), return_dtype=pl.Int64).to_numpy()


def code_node(name: str, known: Sequence[str], output: str) -> onnx.NodeProto:
    """The same as one ONNX node."""
    places = list(range(1, len(known) + 1))
    return node(
        "LabelEncoder",
        [name],
        output,
        domain="ai.onnx.ml",
        keys_strings=list(known),
        values_int64s=places,
        default_int64=0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A learnt number for each category; every other category, known or not, has `default`."""

    name: str
    values: Mapping[str, float]
    """Exact in float32, as ONNX keeps them."""
    default: float

    def apply(self, frame: pl.DataFrame) -> np.ndarray[Any, Any]:
        """The number of each row, float32."""
        column = frame.get_column(self.name).fill_null("")
        if not self.values:
            return column.is_null().cast(pl.Float32).to_numpy() + self.default
        return column.replace_strict(
            pl.Series(list(self.values), dtype=pl.String),
            pl.Series(list(self.values.values()), dtype=pl.Float32),
            default=pl.lit(self.default, dtype=pl.Float32),
            return_dtype=pl.Float32,
        ).to_numpy()

    def node(self, output: str) -> onnx.NodeProto:
        """The same as one ONNX node."""
        return node(
            "LabelEncoder",
            [self.name],
            output,
            domain="ai.onnx.ml",
            keys_strings=list(self.values),
            values_floats=list(self.values.values()),
            default_float=self.default,
        )


def group_means(
    frame: pl.DataFrame, label: np.ndarray[Any, Any], name: str, *, smoothing: float, kept: Sequence[str] | None = None
) -> Lookup:
    """The mean label of each category of `name`, drawn towards the mean of all by `smoothing` imagined rows.

    A null counts as the category "". A category that is not in `frame`, or not `kept`, has the overall mean.
    """
    mean = float(label.mean())
    means = (
        pl.DataFrame({"category": frame.get_column(name).fill_null("")})
        .with_columns(label=pl.Series(label))
        .filter(pl.lit(value=True) if kept is None else pl.col("category").is_in(kept))
        .group_by("category")
        .agg((pl.col("label").sum() + mean * smoothing) / (pl.len() + smoothing))
        .sort("category")
        .with_columns(pl.col("label").cast(pl.Float32))
    )
    default = pl.Series([mean], dtype=pl.Float32).item()
    return Lookup(name=name, values=dict(means.iter_rows()), default=default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Numbers made comparable: clipped to what was seen, missing ones the mean, mean 0, deviation 1.

    A flag column for each number follows: 1 where it is missing and fitting has seen it missing. The
    clip keeps an absurd request from being extrapolated. Computed in double precision on both sides.
    """

    names: tuple[str, ...]
    low: np.ndarray[Any, Any]
    high: np.ndarray[Any, Any]
    mean: np.ndarray[Any, Any]
    scale: np.ndarray[Any, Any]
    seen_missing: np.ndarray[Any, Any]

    @property
    def width(self) -> int:
        """Columns that `apply` yields."""
        return 2 * len(self.names)

    def apply(self, frame: pl.DataFrame) -> np.ndarray[Any, Any]:
        """The scaled numbers and then their flags, float64."""
        import numpy as np

        raw = number_matrix(frame, self.names).astype(np.float64)
        missing = np.isnan(raw)
        clipped = np.minimum(np.maximum(np.where(missing, self.mean, raw), self.low), self.high)
        return np.hstack([(clipped - self.mean) / self.scale, (missing & self.seen_missing).astype(np.float64)])

    def nodes(self, output: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The same as ONNX nodes, and the constants that they read."""
        from onnx import TensorProto

        kept = {"mean": self.mean, "low": self.low, "high": self.high, "scale": self.scale, "seen": self.seen_missing}
        nodes = [
            node("Concat", self.names, "scaling_raw", axis=1),
            node("Cast", ["scaling_raw"], "scaling_double", to=TensorProto.DOUBLE),
            node("IsNaN", ["scaling_double"], "scaling_missing"),
            node("Where", ["scaling_missing", "scaling_mean", "scaling_double"], "scaling_imputed"),
            node("Max", ["scaling_imputed", "scaling_low"], "scaling_raised"),
            node("Min", ["scaling_raised", "scaling_high"], "scaling_clipped"),
            node("Sub", ["scaling_clipped", "scaling_mean"], "scaling_centred"),
            node("Div", ["scaling_centred", "scaling_scale"], "scaling_scaled"),
            node("And", ["scaling_missing", "scaling_seen"], "scaling_flag"),
            node("Cast", ["scaling_flag"], "scaling_flags", to=TensorProto.DOUBLE),
            node("Concat", ["scaling_scaled", "scaling_flags"], output, axis=1),
        ]
        return nodes, [constant(f"scaling_{name}", values[None, :]) for name, values in kept.items()]


def learn_scaling(frame: pl.DataFrame, names: Sequence[str]) -> Scaling:
    """The scaling of the named numbers; infinities count as missing, a constant number scales to 0."""
    import numpy as np

    raw = number_matrix(frame, names).astype(np.float64)
    known = np.isfinite(raw)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, raw, 0.0).sum(axis=0) / count
    deviation = np.sqrt(np.where(known, (raw - mean) ** 2, 0.0).sum(axis=0) / count) if raw.size else mean
    seen = known.any(axis=0)
    return Scaling(
        names=tuple(names),
        low=np.where(seen, np.where(known, raw, np.inf).min(axis=0, initial=np.inf), 0.0),
        high=np.where(seen, np.where(known, raw, -np.inf).max(axis=0, initial=-np.inf), 0.0),
        mean=mean,
        scale=np.where(deviation > 0, deviation, 1.0),
        seen_missing=np.isnan(raw).any(axis=0),
    )
