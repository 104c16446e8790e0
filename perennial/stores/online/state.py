"""State: which values of a feature view are online, kept in the online store beside the values themselves.

Where a store is emptied or replaced, its state goes with it: it cannot say more than is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from perennial.errors import OnlineStoreDown


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineState:
    """What is online of one view."""

    features: Mapping[str, str]
    """Name of each feature, and the sha256 of the declaration that made its values."""
    known_at: datetime | None = None
    """Since when the values were known; None while they are written for the first time."""
    partition: str | None = None
    """The partition at whose end they were computed."""
    content: str = ""
    """Hash of the values."""
    written_at: datetime | None = None
    """When they came online."""
    entities: int = 0
    """How many entities have values."""

    def to_json(self) -> str:
        """The state as one text."""
        return json.dumps(asdict(self), default=datetime.isoformat, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> OnlineState:
        """The state that `to_json` wrote; raises OnlineStoreDown for any other text."""
        try:
            raw = json.loads(text)
            times = {name: raw[name] and datetime.fromisoformat(raw[name]) for name in ("known_at", "written_at")}
            return cls(**raw | times)
        except (ValueError, TypeError, KeyError) as error:
            raise OnlineStoreDown("its state is not readable", where="online store", found=text[:100]) from error
