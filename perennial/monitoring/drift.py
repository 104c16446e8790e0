"""Drift: how far a partition's columns have moved from the reference, measured by Evidently.

Numbers are compared by the Wasserstein distance in standard deviations of the reference, categories by
the Jensen-Shannon distance. Few rows of many categories lie far from their own origin by chance alone:
a column has drifted when its effect is beyond the threshold after the effect of chance has been taken
off, squares from squares. Too few rows give no answer, which is neither drifted nor undrifted.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import polars as pl

from perennial.featurization.expressions import FeatureKind
from perennial.schema import Schema

Method = Literal["wasserstein", "jensenshannon"]
METHODS: dict[FeatureKind, Method] = {"number": "wasserstein", "category": "jensenshannon"}
MISSING = "(missing)"
"""The category of a null: columns that lose their values have drifted."""
DRAWS = 3
"""Samples of the reference itself whose mean effect is the effect of chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDrift:
    """How far one column has moved: its values or, where that is more, the share of rows without one."""

    column: str
    kind: FeatureKind
    method: Method
    effect: float
    """Evidently's distance from the reference."""
    chance: float | None
    """The distance that as many rows of the reference itself show; None where the effect is within the threshold."""
    drifted: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """Whether a partition has drifted: True, False, or None where the question does not apply."""

    columns: tuple[ColumnDrift, ...]
    drifted: bool | None
    reason: str
    rows: int
    threshold: float

    @property
    def culprits(self) -> tuple[str, ...]:
        """The drifted columns, the furthest first."""
        drifted = [column for column in self.columns if column.drifted]
        return tuple(c.column for c in sorted(drifted, key=lambda c: -c.effect))


def reference_sample(frame: pl.DataFrame, *, rows: int = 5000, seed: int = 0) -> pl.DataFrame:
    """At most `rows` rows of `frame`, drawn without replacement, in their order; the same for the same seed."""
    if frame.height <= rows:
        return frame
    drawn = pl.int_range(frame.height, eager=True).sample(rows, seed=seed).sort()
    return frame[drawn]


def drift_kinds(schema: Schema, names: Sequence[str]) -> dict[str, FeatureKind]:
    """How to compare each of the columns: texts and booleans as categories, all else as numbers."""
    return {n: "category" if schema.columns[n].kind in ("string", "bool") else "number" for n in names}


def drift_report(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    kinds: Mapping[str, FeatureKind],
    *,
    threshold: float,
    min_rows: int = 100,
    seed: int = 0,
) -> DriftReport:
    """The drift of `current` against `reference` in each column of `kinds`.

    Any column beyond `threshold` makes the partition a drifted one. Fewer than `min_rows` rows on
    either side, or no column to compare, is not applicable.
    """
    reason = _not_applicable(reference, current, kinds, min_rows)
    columns = (
        ()
        if reason
        else tuple(
            _column_drift(reference[name], current[name], kind, threshold=threshold, seed=seed)
            for name, kind in kinds.items()
        )
    )
    culprits = [f"{c.column} {c.reason}" for c in columns if c.drifted]
    return DriftReport(
        columns=columns,
        drifted=None if reason else bool(culprits),
        reason=reason or "; ".join(culprits) or f"no column beyond {threshold:g}",
        rows=current.height,
        threshold=threshold,
    )


def save_html(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    kinds: Mapping[str, FeatureKind],
    *,
    threshold: float,
    path: Path,
) -> Path:
    """Evidently's own report on the same columns as an HTML page of about 4 MB, written to `path`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports and plots use deprecated names of numpy and pandas
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        usable = {name: kind for name, kind in kinds.items() if _comparable(reference, current, name, kind)}
        definition = DataDefinition(
            numerical_columns=[name for name, kind in usable.items() if kind == "number"],
            categorical_columns=[name for name, kind in usable.items() if kind == "category"],
        )
        metrics = [ValueDrift(column=name, method=METHODS[kind], threshold=threshold) for name, kind in usable.items()]
        old, new = (
            Dataset.from_pandas(_plain(part, usable).to_pandas(), data_definition=definition)
            for part in (reference, current)
        )
        page = Report(list(metrics)).run(new, old).get_html_str(as_iframe=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _not_applicable(
    reference: pl.DataFrame, current: pl.DataFrame, kinds: Mapping[str, FeatureKind], min_rows: int
) -> str | None:
    if not kinds:
        return "not applicable: no column to compare"
    for name, part in (("this partition", current), ("the reference", reference)):
        if part.height < min_rows:
            return f"not applicable: {name} has {part.height} rows, and fewer than {min_rows} say nothing"
    return None


def _comparable(reference: pl.DataFrame, current: pl.DataFrame, name: str, kind: FeatureKind) -> bool:
    """Whether Evidently can draw both sides: it refuses a column of numbers without one."""
    parts = (reference[name], current[name])
    return kind == "category" or all(_numbers(part).null_count() < len(part) for part in parts)


def _column_drift(old: pl.Series, new: pl.Series, kind: FeatureKind, *, threshold: float, seed: int) -> ColumnDrift:
    """The larger movement of a column: of its values, or of the share of rows that have none."""
    moves = [_move(*views, threshold=threshold, seed=seed) for views in _views(old, new, kind)]
    method, effect, chance, missing = max(moves, key=lambda move: (_beyond(move[1], move[2], threshold), move[1]))
    reason = f"{'missing values: ' if missing else ''}{method} {effect:.3f}"
    return ColumnDrift(
        column=old.name,
        kind=kind,
        method=method,
        effect=effect,
        chance=chance,
        drifted=_beyond(effect, chance, threshold),
        reason=reason + (f" (chance {chance:.3f})" if chance is not None else ""),
    )


def _views(old: pl.Series, new: pl.Series, kind: FeatureKind) -> Iterator[tuple[pl.Series, pl.Series, Method, bool]]:
    """What to compare of a column: categories with the missing as one of them; numbers, and apart whether missing."""
    if kind == "category":
        yield _categories(old), _categories(new), METHODS[kind], False
        return
    old, new = _numbers(old), _numbers(new)
    if old.null_count() < len(old) and new.null_count() < len(new):
        yield old.drop_nulls(), new.drop_nulls(), METHODS[kind], False
    yield old.is_null().cast(pl.String), new.is_null().cast(pl.String), METHODS["category"], True


def _move(
    old: pl.Series, new: pl.Series, method: Method, missing: bool, *, threshold: float, seed: int
) -> tuple[Method, float, float | None, bool]:
    """Effect and, where it would matter, chance: what samples of `old` as long as `new` show."""
    effect = _distance(old, new, method, threshold)
    if effect < threshold:
        return method, effect, None, missing
    draws = [old.sample(len(new), with_replacement=True, seed=seed + draw) for draw in range(DRAWS)]
    return method, effect, sum(_distance(old, draw, method, threshold) for draw in draws) / DRAWS, missing


def _beyond(effect: float, chance: float | None, threshold: float) -> bool:
    return effect >= threshold and effect**2 - (chance or 0.0) ** 2 >= threshold**2


def _distance(old: pl.Series, new: pl.Series, method: Method, threshold: float) -> float:
    """Evidently's drift score of `new` against `old`, the number that its ValueDrift metric reports."""
    find_test, column_type = _evidently()
    of_type = column_type.Numerical if method == "wasserstein" else column_type.Categorical
    reference, current = old.to_pandas(), new.to_pandas()
    return float(find_test(reference, current, of_type, method)(reference, current, of_type, threshold).drift_score)


@cache
def _evidently() -> tuple[Any, Any]:
    """Evidently's own table of methods: ValueDrift draws plots around the same call, at 30 times the cost."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports use deprecated names of numpy
        from evidently.legacy.calculations.stattests import get_stattest
        from evidently.legacy.core import ColumnType
    return get_stattest, ColumnType


def _categories(values: pl.Series) -> pl.Series:
    return values.cast(pl.String).fill_null(MISSING)


def _numbers(values: pl.Series) -> pl.Series:
    """Floats, with null for whatever is not finite."""
    numbers = values.cast(pl.Float64)
    return numbers.set(~numbers.is_finite(), None)


def _plain(part: pl.DataFrame, kinds: Mapping[str, FeatureKind]) -> pl.DataFrame:
    return pl.DataFrame([_numbers(part[n]) if kind == "number" else _categories(part[n]) for n, kind in kinds.items()])
