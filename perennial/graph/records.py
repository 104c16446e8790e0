"""Records: what the manifest keeps of each revision of each partition of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

UNFINISHED = "it was being written when its run ended"
"""Why what is about to be written is blocked until it is: whoever dies meanwhile leaves just this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionRecord:
    """What one revision of one partition of a table holds."""

    partition: str
    revision: int
    content_hash: str
    rows: int
    status: Literal["ok", "blocked"] = "ok"
    reason: str | None = None
    """Why it is blocked: nothing downstream may read it."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Content hashes of what it was made from."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    table_version: int | None = None
    """Version of the table in the lake that holds it."""
    known_at: datetime | None = None
    written_at: datetime | None = None
    """When it was recorded; set by the store."""

    @property
    def is_empty(self) -> bool:
        """Whether it is of a delivery of which nothing could be written."""
        return self.status == "blocked" and not self.content_hash
