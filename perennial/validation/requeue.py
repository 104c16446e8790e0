"""Requeue: what judging the rows of a partition again under other rules has changed.

Landed rows stay what they are; a rule decides on which side of the line each one stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

COUNT = "times"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The rows of one partition as validation divided them."""

    accepted: pl.DataFrame
    quarantined: pl.DataFrame
    """With `reason`: the claims that failed, joined by `; `."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a second judgement changed."""

    accepted: tuple[int, int]
    """Accepted rows before and after."""
    quarantined: tuple[int, int]
    """Quarantined rows before and after."""
    accepted_again: Mapping[str, int]
    """By the claim that had failed: rows that are accepted now."""
    quarantined_now: Mapping[str, int]
    """By the claim that fails: rows that were accepted before."""
    still: Mapping[str, int]
    """By the claim that fails: rows that were quarantined before, and still are."""

    @property
    def line(self) -> str:
        """The change in one line."""
        (accepted, now), (quarantined, left) = self.accepted, self.quarantined
        return f"accepted {accepted:,} -> {now:,} rows, quarantined {quarantined:,} -> {left:,}"


def compare(before: Judged, after: Judged, *, columns: Sequence[str]) -> Change:
    """What became of each row; rows are the same when they agree in `columns`, however often they repeat."""
    return Change(
        accepted=(before.accepted.height, after.accepted.height),
        quarantined=(before.quarantined.height, after.quarantined.height),
        accepted_again=reasons_of(_without(before.quarantined, after.quarantined, columns)),
        quarantined_now=reasons_of(_without(after.quarantined, before.quarantined, columns)),
        still=reasons_of(_within(after.quarantined, before.quarantined, columns)),
    )


def reasons_of(quarantined: pl.DataFrame) -> dict[str, int]:
    """Rows by the claim that failed, the most first; a row that fails several counts for each."""
    claims: Counter[str] = Counter()
    for reason, rows in quarantined.group_by("reason").len().iter_rows():
        claims.update(dict.fromkeys(reason.split("; "), rows))
    return dict(sorted(claims.items(), key=lambda item: (-item[1], item[0])))


def _numbered(rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Each row with a number among those that are equal to it, so that repeated rows are matched one to one."""
    return (
        rows.with_columns(pl.int_range(pl.len()).over(*columns).alias(COUNT))
        if rows.height
        else rows.with_columns(pl.lit(0, dtype=pl.Int64).alias(COUNT))
    )


def _without(rows: pl.DataFrame, others: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    on = [*columns, COUNT]
    return _numbered(rows, columns).join(_numbered(others, columns), on=on, how="anti", nulls_equal=True)


def _within(rows: pl.DataFrame, others: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    on = [*columns, COUNT]
    return _numbered(rows, columns).join(_numbered(others, columns), on=on, how="semi", nulls_equal=True)
