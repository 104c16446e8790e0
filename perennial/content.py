"""Content: a hash of what a table says, whatever file, engine or day wrote it.

Column names, types and values in row order decide; nothing else does. Two writers with the same rows
get the same hash, so that equal content makes no new revision.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import polars as pl


def content_hash(frame: pl.DataFrame, *, leave_out: Iterable[str] = ()) -> str:
    """sha256 over the columns of `frame` in name order, rows in their order.

    >>> content_hash(pl.DataFrame({"a": [1, None]})) == content_hash(pl.DataFrame({"a": [1, None]}))
    True
    >>> content_hash(pl.DataFrame({"a": [1, None]})) == content_hash(pl.DataFrame({"a": [1, 0]}))
    False
    """
    digest = hashlib.sha256(str(frame.height).encode())
    for name in sorted(set(frame.columns) - set(leave_out)):
        column = frame.get_column(name).rechunk()
        digest.update(f"|{name}:{column.dtype}|".encode())
        digest.update(column.is_null().cast(pl.UInt8).to_numpy().tobytes())
        for part in _values(column):
            digest.update(part)
    return digest.hexdigest()


def _values(column: pl.Series) -> Iterable[bytes]:
    """The values as bytes, nulls as a fixed value, in row order."""
    if column.dtype == pl.String:
        filled = column.fill_null("")
        yield filled.str.len_bytes().to_numpy().tobytes()
        yield "".join(filled.to_list()).encode()
        return
    if column.dtype.is_nested():
        yield json.dumps(column.to_list(), default=str).encode()
        return
    if column.dtype in (pl.Boolean, pl.Null):
        yield column.cast(pl.UInt8).fill_null(0).to_numpy().tobytes()
        return
    if column.dtype.is_float():
        # one NaN and one zero: -0.0 == 0.0, and a NaN's payload means nothing
        column = pl.select(pl.when(column.is_nan()).then(float("nan")).otherwise(column + 0.0).alias("x"))["x"]
    yield column.to_physical().fill_null(0).to_numpy().tobytes()
