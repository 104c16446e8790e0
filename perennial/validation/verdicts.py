"""Validation: which landed rows are accepted, which are quarantined and why, and which partition is blocked.

Row expectations judge landed rows, partition expectations the accepted ones. landed = accepted +
quarantined, always. A partition without rows, or without an accepted row, is blocked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.time import Calendar
from perennial.validation.expectations import Expectation, Level
from perennial.validation.suites import (
    measure_claims,
    measure_name,
    measures,
    partition_windows,
    row_claim,
    unexpected_rows,
    unique_claim,
)

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = 5
"""Rows shown for a failed expectation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectationResult:
    """What one expectation found in one partition."""

    expectation: Expectation
    success: bool
    observed: float | None
    """Row level and `unique`: failing rows; else the measure, None where there is none to take."""
    unexpected: int
    """Rows that fail; 0 for a claim about the partition as a whole."""
    share: float
    """Failing rows as a share of the rows looked at."""
    examples: tuple[Mapping[str, Any], ...] = ()
    """Up to five failing rows: `row` (its number in the partition, from 0) and the columns of the claim."""

    @property
    def level(self) -> Level:
        """Whether rows or the partition were judged."""
        return self.expectation.level


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionVerdict:
    """Whether a partition may go on, and what every expectation found in it."""

    partition: str
    landed: int
    accepted: int
    quarantined: int
    results: tuple[ExpectationResult, ...]
    blocked: bool
    reason: str | None
    """Why it is blocked, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Landed rows, divided; both parts keep the order of the rows."""

    accepted: pl.DataFrame
    quarantined: pl.DataFrame
    """With `reason`: the claims that failed, joined by `; `."""
    results: Mapping[str, tuple[ExpectationResult, ...]]
    """Row expectations, by partition."""


def split_rows(landed: pl.DataFrame, expectations: Sequence[Expectation], calendar: Calendar) -> Split:
    """Divide `landed`, which may hold many partitions, by the row expectations, in one validation.

    A row that fails only expectations of severity `warn` is counted and stays accepted.
    """
    declared = [expectation for expectation in expectations if expectation.level == "row"]
    windows = partition_windows(landed["partition"], calendar)
    failing = unexpected_rows(landed, [row_claim(e, landed.schema, windows) for e in declared])
    blocking = {e.claim: rows for e, rows in zip(declared, failing, strict=True) if e.severity == "block"}
    rows = _union(blocking.values())
    marked = landed[rows].with_columns(reason=_reasons(rows, blocking))
    return Split(
        accepted=landed.filter(~_mask(rows, landed.height)) if len(rows) else landed,
        quarantined=marked,
        results=_row_results(landed, declared, failing),
    )


def judge_partitions(
    split: Split, expectations: Sequence[Expectation], *, partitions: Iterable[str] = ()
) -> dict[str, PartitionVerdict]:
    """A verdict for every partition of `split`, and for each of `partitions` that has no row in it."""
    counts = _counts(split, partitions)
    judged = _judge(split.accepted, counts, expectations)
    return {
        row["partition"]: verdict_of(
            **row, results=(*split.results.get(row["partition"], ()), *judged[row["partition"]])
        )
        for row in counts.iter_rows(named=True)
    }


def _union(failing: Iterable[np.ndarray]) -> np.ndarray:
    import numpy as np

    return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *failing]))


def _reasons(rows: np.ndarray, blocking: Mapping[str, np.ndarray]) -> pl.Series:
    """The claims that each of `rows` fails, in words."""
    import numpy as np

    words = [pl.when(pl.Series(np.isin(rows, failing))).then(pl.lit(claim)) for claim, failing in blocking.items()]
    said = pl.concat_str(words, separator="; ", ignore_nulls=True) if words else pl.lit("")
    return pl.select(said.alias("reason")).to_series().head(len(rows))


def _mask(rows: np.ndarray, height: int) -> pl.Series:
    import numpy as np

    mask = np.zeros(height, dtype=bool)
    mask[rows] = True
    return pl.Series(mask)


def _row_results(
    landed: pl.DataFrame, declared: Sequence[Expectation], failing: Sequence[np.ndarray]
) -> dict[str, tuple[ExpectationResult, ...]]:
    heights = dict(landed.group_by("partition", maintain_order=True).len().iter_rows())
    counts = [dict(landed[rows].group_by("partition").len().iter_rows()) for rows in failing]
    examples = [_examples(landed, e.columns, rows) for e, rows in zip(declared, failing, strict=True)]
    return {
        str(key): tuple(
            _row_result(e, found.get(key, 0), height, shown.get(key, ()))
            for e, found, shown in zip(declared, counts, examples, strict=True)
        )
        for key, height in heights.items()
    }


def _row_result(
    expectation: Expectation, unexpected: int, rows: int, examples: tuple[Mapping[str, Any], ...]
) -> ExpectationResult:
    return ExpectationResult(
        expectation=expectation,
        success=unexpected == 0,
        observed=float(unexpected),
        unexpected=unexpected,
        share=unexpected / rows if rows else 0.0,
        examples=examples,
    )


def _examples(
    frame: pl.DataFrame, columns: Sequence[str], rows: np.ndarray
) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """The first failing rows of each partition, each with its number within it."""
    if not len(rows):
        return {}
    numbered = frame.select("partition", *dict.fromkeys(columns)).with_row_index("row")[rows]
    first = numbered.group_by("partition", maintain_order=True).head(EXAMPLES)
    found: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for (key,), part in first.partition_by("partition", as_dict=True, maintain_order=True).items():
        mine = frame["partition"].head(part["row"][-1]) == key
        first_numbers = [int(mine.head(row).sum()) for row in part["row"]]
        rest = part.drop("partition", "row").iter_rows(named=True)
        found[str(key)] = tuple({"row": n, **values} for n, values in zip(first_numbers, rest, strict=True))
    return found


def _counts(split: Split, partitions: Iterable[str]) -> pl.DataFrame:
    """`landed`, `accepted` and `quarantined` rows by partition, in the order of their keys."""
    keys = pl.DataFrame({"partition": sorted({*split.results, *partitions})}, schema={"partition": pl.String})
    for name, part in (("accepted", split.accepted), ("quarantined", split.quarantined)):
        keys = keys.join(part.group_by("partition").agg(pl.len().alias(name)), on="partition", how="left")
    counts = keys.with_columns(pl.col("accepted", "quarantined").fill_null(0).cast(pl.Int64)).sort("partition")
    return counts.with_columns(landed=pl.col("accepted") + pl.col("quarantined"))


def judge_measures(measured: pl.DataFrame, declared: Iterable[Expectation]) -> dict[str, list[ExpectationResult]]:
    """What each partition expectation but `unique` finds, by partition, in their order.

    `measured` has a row for each partition and a column for each measure (`suites.measure_name`).
    """
    judged = [e for e in declared if e.level == "partition" and e.kind != "unique"]
    claims = [claim for e in judged for claim in measure_claims(e)]
    failed = {id(e): set[int]() for e in judged}
    for claim, rows in zip(claims, unexpected_rows(measured, claims), strict=True):
        failed[id(claim.declared)].update(rows.tolist())
    return {
        key: [
            ExpectationResult(
                expectation=e,
                success=row not in failed[id(e)],
                observed=measured[measure_name(e)][row],
                unexpected=0,
                share=0.0,
            )
            for e in judged
        ]
        for row, key in enumerate(measured["partition"])
    }


def repeated_keys(
    declared: Expectation, repeated: int, accepted: int, examples: Sequence[Mapping[str, Any]]
) -> ExpectationResult:
    """What `unique` finds in a partition of which so many accepted rows share their key with another."""
    return _row_result(declared, repeated, accepted, tuple(examples[:EXAMPLES]))


def _judge(
    accepted: pl.DataFrame, counts: pl.DataFrame, expectations: Sequence[Expectation]
) -> dict[str, tuple[ExpectationResult, ...]]:
    declared = [expectation for expectation in expectations if expectation.level == "partition"]
    judged = judge_measures(measures(accepted, counts, declared), declared)
    unique = {id(e): _unique(e, accepted, counts) for e in declared if e.kind == "unique"}
    return {key: _in_order(declared, judged[key], {i: by[key] for i, by in unique.items()}) for key in judged}


def _in_order(
    declared: Iterable[Expectation], judged: Iterable[ExpectationResult], unique: Mapping[int, ExpectationResult]
) -> tuple[ExpectationResult, ...]:
    rest = iter(judged)
    return tuple(unique[id(e)] if e.kind == "unique" else next(rest) for e in declared)


def _unique(declared: Expectation, accepted: pl.DataFrame, counts: pl.DataFrame) -> dict[str, ExpectationResult]:
    (rows,) = unexpected_rows(accepted, [unique_claim(declared)])
    failing = dict(accepted[rows].group_by("partition").len().iter_rows())
    examples = _examples(accepted, declared.columns, rows)
    return {
        key: repeated_keys(declared, failing.get(key, 0), accepted_rows, examples.get(key, ()))
        for key, accepted_rows in counts.select("partition", "accepted").iter_rows()
    }


def verdict_of(
    *, partition: str, landed: int, accepted: int, quarantined: int, results: tuple[ExpectationResult, ...]
) -> PartitionVerdict:
    """The verdict on a partition from its counts and what every expectation found."""
    reason = _why_blocked(landed, accepted, results)
    return PartitionVerdict(
        partition=partition,
        landed=landed,
        accepted=accepted,
        quarantined=quarantined,
        results=results,
        blocked=reason is not None,
        reason=reason,
    )


def _why_blocked(landed: int, accepted: int, results: Sequence[ExpectationResult]) -> str | None:
    if not landed:
        return "no row landed"
    if not accepted:
        worst = max((r for r in results if r.level == "row"), key=lambda r: r.unexpected)
        return f"all {landed} landed rows are quarantined, {worst.unexpected} of them for '{worst.expectation.claim}'"
    failed = [r for r in results if r.level == "partition" and not r.success and r.expectation.severity == "block"]
    return "; ".join(f"{r.expectation.claim}: found {_words(r)}" for r in failed) or None


def _words(result: ExpectationResult) -> str:
    if result.expectation.kind == "unique":
        return f"{result.unexpected} rows that share theirs"
    if result.observed is None:
        return "no value"
    return f"{100 * result.observed:.3g} %" if result.expectation.is_share else f"{result.observed:.6g}"
