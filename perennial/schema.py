"""Schema: the declared columns of a pipeline, under their own names and those of the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal

import polars as pl

Kind = Literal["string", "int32", "int64", "float32", "float64", "bool", "datetime"]

POLARS_TYPES: dict[Kind, pl.DataType] = {
    "string": pl.String(),
    "int32": pl.Int32(),
    "int64": pl.Int64(),
    "float32": pl.Float32(),
    "float64": pl.Float64(),
    "bool": pl.Boolean(),
    "datetime": pl.Datetime("us"),
}
"""Lake type of each declared kind; a datetime is wall-clock time in the pipeline's timezone."""
HIDDEN = "hidden"
"""What a person reads in place of personal data."""


@dataclass(frozen=True, slots=True)
class Column:
    """One declared column: its kind, where it comes from and what it means."""

    kind: Kind
    _: KW_ONLY
    source: str | pl.Expr | None = None
    """Name in the source, where it differs from the declared one, or a row-wise expression of the source's columns.

    Text becomes a time by a declared format: `source=col("date").str.to_datetime("%Y-%m-%d")`; `"%+"` is
    ISO 8601 with `Z` or an offset.
    """
    unit: str | None = None
    meaning: str = ""
    nullable: bool = False
    """Whether a prediction request may leave it null. Rows of the source are judged by expectations."""
    pii: bool = False
    known: Literal["at_event", "with_label"] = "at_event"
    """`with_label`: known only once the outcome is, so no feature may use it."""
    stands_in_for: str | None = None
    """What a `with_label` column replaces at prediction time, and why that is fair; lifts the bar."""

    @property
    def usable_in_features(self) -> bool:
        """Whether a prediction may depend on this column."""
        return self.known == "at_event" or self.stands_in_for is not None


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a pipeline's landed rows, by their declared names."""

    columns: Mapping[str, Column]
    _: KW_ONLY
    allow_additional: bool = False
    """Whether the source may carry columns that are not declared; they are dropped and noted."""

    @property
    def names(self) -> list[str]:
        """Declared names, in order."""
        return list(self.columns)

    @property
    def polars(self) -> pl.Schema:
        """The types that landed rows have."""
        return pl.Schema({name: POLARS_TYPES[column.kind] for name, column in self.columns.items()})


def source_columns(name: str, column: Column) -> list[str]:
    """The source's columns that a declared one is made from."""
    if isinstance(column.source, pl.Expr):
        return column.source.meta.root_names()
    return [column.source or name]
