"""Partitioned: what a source is read for, a partition at a time: a pipeline's rows, or readings beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from perennial.schema import Schema
from perennial.sources import Source
from perennial.time import Calendar


class Partitioned(Protocol):
    """Rows of one source, cut by their event time."""

    @property
    def name(self) -> str:
        """For messages, and for what is kept of its files."""

    @property
    def source(self) -> Source:
        """Where the rows come from."""

    @property
    def time(self) -> Calendar:
        """How they are cut."""

    @property
    def schema(self) -> Schema:
        """How their event time is read."""

    @property
    def key(self) -> Sequence[str]:
        """Declared columns that order rows of one time."""

    def part_hash(self, *names: str) -> str:
        """sha256 of some fields of the declaration."""
