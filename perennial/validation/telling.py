"""Telling: what a person on call reads about a judged partition; values of personal data are hidden."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from perennial.schema import HIDDEN, Schema
from perennial.validation.verdicts import ExpectationResult, PartitionVerdict

LONGEST = 60
"""Characters of one value that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastGood:
    """The partition before that was accepted, to compare with."""

    partition: str
    landed: int
    quarantined: int
    reasons: Mapping[str, int]
    """Quarantined rows by the claim that failed."""


def failing(verdict: PartitionVerdict) -> list[ExpectationResult]:
    """The expectations that did not hold, those that block first, then by how many rows fail."""
    failed = [result for result in verdict.results if not result.success]
    return sorted(failed, key=lambda r: (r.level == "row", r.expectation.severity == "warn", -r.unexpected))


def failing_lines(verdict: PartitionVerdict, schema: Schema) -> list[str]:
    """A line for each expectation that did not hold, with up to five of the rows."""
    return [f"{verdict.partition}: {_claim(result)}{_such_as(result, schema)}" for result in failing(verdict)]


def failing_rows(verdict: PartitionVerdict, schema: Schema) -> Iterator[dict[str, Any]]:
    """The same as rows of a table, one for each example."""
    for result in failing(verdict):
        count: int | None = result.unexpected or None
        claim = result.expectation.claim
        for example in result.examples or ({},):
            yield {"does not hold": claim, "rows": count, "for example": example_text(example, schema)}
            claim, count = "", None


def example_text(row: Mapping[str, Any], schema: Schema) -> str:
    """One failing row: its number in the partition, from 0, and the values that the claim is about."""
    values = {name: _value(name, value, schema) for name, value in row.items() if name != "row"}
    return f"row {row['row']}: " + ", ".join(f"{name} {value}" for name, value in values.items()) if row else ""


def since_last_good(verdict: PartitionVerdict, before: LastGood | None) -> str:
    """What changed since the last good partition, in one line."""
    if before is None:
        return f"{verdict.partition}: no earlier partition is good, so there is nothing to compare with"
    more = f" ({verdict.landed / before.landed - 1:+.0%})" if before.landed else ""
    line = f"{verdict.partition} against {before.partition}, the last good one: {before.landed:,} -> {verdict.landed:,}"
    shares = f"{_share(before.quarantined, before.landed)} -> {_share(verdict.quarantined, verdict.landed)}"
    line += f" rows landed{more}, {shares} quarantined"
    rows = {r.expectation.claim: r.unexpected for r in verdict.results if r.level == "row" and r.unexpected}
    if not rows:
        return line
    worst = max(
        rows, key=lambda claim: rows[claim] / verdict.landed - _part(before.reasons.get(claim, 0), before.landed)
    )
    grown = f"{_share(before.reasons.get(worst, 0), before.landed)} -> {_share(rows[worst], verdict.landed)}"
    return f"{line}, most of it '{worst}' {grown}"


def _claim(result: ExpectationResult) -> str:
    claim = f"'{result.expectation.claim}' does not hold"
    if result.unexpected:
        return f"{claim} in {result.unexpected:,} rows ({result.share:.2%})"
    if result.observed is None:
        return claim
    shown = f"{100 * result.observed:.3g} %" if result.expectation.is_share else f"{result.observed:,.6g}"
    return f"{claim}, found {shown}"


def _such_as(result: ExpectationResult, schema: Schema) -> str:
    examples = "; ".join(example_text(row, schema) for row in result.examples)
    return f", such as {examples}" if examples else ""


def _value(name: str, value: Any, schema: Schema) -> str:
    column = schema.columns.get(name)
    if column is not None and column.pii:
        return HIDDEN
    text = "null" if value is None else f"{value:.6g}" if isinstance(value, float) else f"{value}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"


def _part(rows: int, of: int) -> float:
    return rows / of if of else 0.0


def _share(rows: int, of: int) -> str:
    return f"{100 * _part(rows, of):.3g} %"
