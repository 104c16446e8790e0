"""Evidence: what a decision rested on, as plain JSON that any database and any reader can keep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """`value` as plain JSON; what JSON cannot say becomes null (NaN, infinity) or text (anything else).

    >>> plain({"interval": (0.1, float("nan"))})
    {'interval': [0.1, None]}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in (sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)]
    if hasattr(value, "item"):  # a numpy scalar
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, str, int)) else str(value)
