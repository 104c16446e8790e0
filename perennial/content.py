"""Content: a hash of what a table says, whatever file, engine or day wrote it.

Column names, types and values in row order decide; nothing else does, neither the order of the columns
nor the parts in which the rows came. Two writers with the same rows get the same hash, so that equal
content makes no new revision.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import polars as pl
from blake3 import blake3

SAID = (pl.String, pl.Binary, pl.Categorical, pl.Enum)
"""Kinds whose values are as they are said: the number behind a category depends on who came first."""


def content_hash(frame: pl.DataFrame, *, leave_out: Iterable[str] = ()) -> str:
    """BLAKE3 over the columns of `frame` in name order, rows in their order.

    >>> content_hash(pl.DataFrame({"a": [1, None]})) == content_hash(pl.DataFrame({"a": [1, None]}))
    True
    >>> content_hash(pl.DataFrame({"a": [1, None]})) == content_hash(pl.DataFrame({"a": [1, 0]}))
    False
    """
    content = ContentHash(leave_out=leave_out)
    content.add(frame)
    return content.hexdigest()


class ContentHash:
    """The hash of rows that come in parts, one after the other."""

    def __init__(self, *, leave_out: Iterable[str] = ()) -> None:
        self._leave_out = frozenset(leave_out)
        self._columns: dict[str, _Column] = {}
        self._rows = 0

    def add(self, part: pl.DataFrame) -> None:
        """Take in the next rows; every part has the same columns."""
        self._rows += part.height
        for name in sorted(set(part.columns) - self._leave_out):
            column = part.get_column(name)
            found = self._columns.setdefault(name, _Column(name, column.dtype))
            for chunk in column.get_chunks():
                found.add(chunk)

    def hexdigest(self) -> str:
        """The hash of all rows so far."""
        digest = blake3(str(self._rows).encode())
        for name in sorted(self._columns):
            digest.update(self._columns[name].digest())
        return digest.hexdigest()


class _Column:
    """Nulls, lengths and values of one column, each as a stream of bytes of its own."""

    def __init__(self, name: str, dtype: pl.DataType) -> None:
        self._name = f"|{name}:{dtype}|".encode()
        self._rows = 0
        self._nulls, self._lengths, self._values = blake3(), blake3(), blake3()

    def add(self, column: pl.Series) -> None:
        if column.null_count():
            self._nulls.update(_bytes(column.is_null().arg_true().cast(pl.UInt64) + self._rows))
        self._rows += len(column)
        if column.dtype.is_nested() or column.dtype == pl.Object:
            for value in column.to_list():
                self._values.update(json.dumps(value, default=str).encode() + b"\n")
        elif column.dtype.is_decimal() or column.dtype in SAID:
            self._say(column if column.dtype == pl.Binary else column.cast(pl.String))
        elif len(column):
            self._values.update(_bytes(_numbers(column)))

    def _say(self, column: pl.Series) -> None:
        """Take in values of any length."""
        empty = b"" if column.dtype == pl.Binary else ""
        filled = column.fill_null(empty) if column.null_count() else column
        lengths = filled.bin.size() if column.dtype == pl.Binary else filled.str.len_bytes()
        self._lengths.update(_bytes(lengths))
        self._values.update(_text(filled))

    def digest(self) -> bytes:
        parts = (self._nulls, self._lengths, self._values)
        return self._name + b"".join(part.digest() for part in parts)


def _bytes(numbers: pl.Series) -> memoryview:
    """The bytes of plain numbers, one behind the other."""
    return numbers.to_numpy().data.cast("B")


def _text(column: pl.Series) -> memoryview | bytes:
    """The bytes of all texts, one behind the other."""
    if not len(column):
        return b""
    array = column.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, _, values = array.buffers()
    if values is None:
        return b""
    first, last = array.offset, array.offset + len(array)
    offsets = memoryview(array.buffers()[1]).cast("q")
    return memoryview(values)[offsets[first] : offsets[last]]


def _numbers(column: pl.Series) -> pl.Series:
    """The values as plain numbers, nulls as a fixed one."""
    if column.dtype in (pl.Boolean, pl.Null):
        return column.cast(pl.UInt8).fill_null(0)
    if column.dtype.is_float():
        # one NaN and one zero: -0.0 == 0.0, and a NaN's payload means nothing
        nan = column.is_nan()
        column = column + 0.0
        if nan.any():
            column = pl.select(pl.when(nan).then(float("nan")).otherwise(column).alias("x"))["x"]
    physical = column.to_physical()
    return physical.fill_null(0) if physical.null_count() else physical
