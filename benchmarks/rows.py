"""Rows: what a benchmark measured, beside its limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured number; `ok` says whether it keeps its limit."""

    name: str
    value: float | None
    """None when it could not be measured."""
    limit: float | None = None
    """The bound that `value` must keep, or None for a number that is only shown."""
    ok: bool = True
    detail: str = ""
