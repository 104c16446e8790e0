"""Encoding: Feast's online format, so that a server reads it without Feast, pandas and torch in its memory.

The format is written down in Feast's `docs/specs/online_store_format.md`: a row an entity and feature, the
entity's key in a stable binary form (version 3), the value as the protobuf message `feast.types.Value`.
Feast writes; tests hold what is read here to what Feast reads.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from perennial.errors import OnlineStoreDown
from perennial.schema import Kind

Value = float | str | None
STATE_VIEW = "lookup_state"
"""The feature view that says what is online; its entity is the name of another view."""
STATE_ENTITY = "view"
STATE_FEATURE = "state"

_TYPES: Mapping[str, tuple[int, str | None]] = {"string": (2, None), "int32": (3, "<i"), "int64": (4, "<q")}
"""Feast's number of each type, and how an integer is packed."""
_DOUBLE, _TEXT = 0x29, 0x12
"""Tags of the fields double_val (5) and string_val (2) of feast.types.Value."""


class EntityKeys:
    """The keys of the entities with columns `by`."""

    def __init__(self, by: Mapping[str, Kind]) -> None:
        self._order = sorted(range(len(by)), key=list(by).__getitem__)
        names = [name.encode() for name in sorted(by)]
        self._prefix = struct.pack("<I", len(names)) + b"".join(
            struct.pack("<II", _TYPES["string"][0], len(name)) + name for name in names
        )
        self._types = [_TYPES[list(by.values())[i]] for i in self._order]

    def encode(self, values: Sequence[Any]) -> bytes:
        """The key of one entity; `values` in the order of `by`, none of them null."""
        parts = [self._prefix]
        for (number, form), index in zip(self._types, self._order, strict=True):
            value = values[index]
            content = value.encode() if form is None else struct.pack(form, value)
            parts.append(struct.pack("<II", number, len(content)))
            parts.append(content)
        return b"".join(parts)


def decode_value(content: bytes | None) -> Value:
    """The number or text of a stored value; None for a null."""
    if not content:
        return None
    if content[0] == _DOUBLE and len(content) == 9:
        return float(struct.unpack_from("<d", content, 1)[0])
    if content[0] == _TEXT:
        size, start = _varint(content, 1)
        if len(content) == start + size:
            return content[start:].decode()
    raise OnlineStoreDown(
        "a stored value has another form", where="online store", found=content[:20].hex(), expected="a number or a text"
    )


def _varint(content: bytes, start: int) -> tuple[int, int]:
    """The number at `start`, in protobuf's variable length, and where it ends."""
    number = shift = 0
    for position in range(start, len(content)):
        number |= (content[position] & 0x7F) << shift
        shift += 7
        if content[position] < 0x80:
            return number, position + 1
    return -1, len(content)
