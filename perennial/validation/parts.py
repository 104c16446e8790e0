"""Parts: judges a partition that is too large for memory, part by part, with the verdict of the whole.

Row expectations run on each part as on a whole partition. What partition expectations measure is summed
up from the parts by Polars, and Great Expectations judges the measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from perennial.time import Calendar
from perennial.validation.expectations import Expectation
from perennial.validation.suites import measure_name, measures
from perennial.validation.verdicts import (
    EXAMPLES,
    ExpectationResult,
    PartitionVerdict,
    Split,
    judge_measures,
    repeated_keys,
    split_rows,
    verdict_of,
)

HASH = "hash of the key"


class PartitionJudge:
    """Divides the rows of one partition as they come, and then judges it."""

    def __init__(self, partition: str, expectations: Sequence[Expectation], calendar: Calendar) -> None:
        self._partition = partition
        self._expectations = tuple(expectations)
        self._calendar = calendar
        self._landed = self._accepted = 0
        self._rows: list[ExpectationResult] = []
        self._sums = dict.fromkeys(_measured(expectations), (0.0, 0))
        self._hashes: dict[int, list[pl.Series]] = {i: [] for i, e in enumerate(expectations) if e.kind == "unique"}

    def split(self, part: pl.DataFrame) -> Split:
        """Divide the next rows."""
        split = split_rows(part, self._expectations, self._calendar)
        found = split.results.get(self._partition, ())
        before = self._rows or [replace(r, success=True, unexpected=0, examples=()) for r in found]
        self._rows = [_added(*pair, offset=self._landed) for pair in zip(before, found, strict=True)]
        self._landed += part.height
        self._accepted += split.accepted.height
        for name, (total, count) in self._sums.items():
            values = split.accepted[name].drop_nulls()
            added = float(values.sum()) if values.dtype.is_numeric() else 0.0
            self._sums[name] = (total + added, count + len(values))
        for number, hashes in self._hashes.items():
            hashes.append(_hashes(split.accepted, self._expectations[number].columns))
        return split

    def verdict(self, accepted: Callable[[], Iterable[pl.DataFrame]]) -> PartitionVerdict:
        """The verdict on the whole partition; `accepted` reads its rows again, where keys seem to repeat."""
        counts = {"landed": self._landed, "accepted": self._accepted, "quarantined": self._landed - self._accepted}
        declared = [e for e in self._expectations if e.level == "partition"]
        judged = iter(judge_measures(self._measures(counts), declared)[self._partition])
        unique = {
            id(self._expectations[number]): self._unique(self._expectations[number], hashes, accepted)
            for number, hashes in self._hashes.items()
        }
        rows = [replace(r, share=r.unexpected / self._landed if self._landed else 0.0) for r in self._rows]
        whole = [unique[id(e)] if e.kind == "unique" else next(judged) for e in declared]
        return verdict_of(partition=self._partition, **counts, results=(*rows, *whole))

    def _measures(self, counts: Mapping[str, int]) -> pl.DataFrame:
        """What `suites.measures` gives, from the sums of the parts."""
        counted = pl.DataFrame({"partition": [self._partition], **{name: [n] for name, n in counts.items()}})
        values = {}
        for e in self._expectations:
            total, count = self._sums.get(e.columns[0], (0.0, 0)) if e.columns else (0.0, 0)
            if e.kind == "mean_between":
                values[measure_name(e)] = total / count if count else None
            elif e.kind == "share_not_null":
                values[measure_name(e)] = count / self._accepted if self._accepted else None
        blank = pl.DataFrame(schema={"partition": pl.String})
        found = [pl.lit(value, pl.Float64).alias(name) for name, value in values.items()]
        return measures(blank, counted, ()).with_columns(found)

    def _unique(
        self, declared: Expectation, hashes: list[pl.Series], accepted: Callable[[], Iterable[pl.DataFrame]]
    ) -> ExpectationResult:
        repeated = _repeated(hashes)
        if not len(repeated):
            return repeated_keys(declared, 0, self._accepted, ())
        suspects = pl.concat(_suspects(accepted(), declared.columns, repeated))
        found = suspects.filter(suspects.select(declared.columns).is_duplicated())
        return repeated_keys(declared, found.height, self._accepted, found.head(EXAMPLES).to_dicts())


def _measured(expectations: Iterable[Expectation]) -> list[str]:
    kinds = ("mean_between", "share_not_null")
    return list(dict.fromkeys(e.columns[0] for e in expectations if e.kind in kinds))


def _added(before: ExpectationResult, found: ExpectationResult, *, offset: int) -> ExpectationResult:
    moved = ({**example, "row": example["row"] + offset} for example in found.examples)
    unexpected = before.unexpected + found.unexpected
    return replace(
        before,
        success=before.success and found.success,
        observed=float(unexpected),
        unexpected=unexpected,
        examples=(*before.examples, *moved)[:EXAMPLES],
    )


def _hashes(rows: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """One number a row without a null; equal rows have equal numbers."""
    return rows.select(columns).drop_nulls().hash_rows(seed=0).alias(HASH)


def _repeated(hashes: Sequence[pl.Series]) -> pl.Series:
    """The numbers that occur twice; sorted in place, since a table of 20 million would not fit."""
    ordered = pl.concat(hashes).sort()
    return ordered.filter(ordered == ordered.shift(1)).unique()


def _suspects(parts: Iterable[pl.DataFrame], columns: Sequence[str], repeated: pl.Series) -> Iterator[pl.DataFrame]:
    offset = 0
    for part in parts:
        numbered = part.select(*columns).with_row_index("row", offset=offset).drop_nulls()
        yield numbered.filter(numbered.select(columns).hash_rows(seed=0).is_in(repeated.implode()))
        offset += part.height
