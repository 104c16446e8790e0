"""Parquet: frames as bytes, the same bytes for the same frame."""

from __future__ import annotations

import io

import polars as pl


def to_parquet(frame: pl.DataFrame) -> bytes:
    """`frame` as a parquet file."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()


def from_parquet(content: bytes) -> pl.DataFrame:
    """The frame of a parquet file."""
    return pl.read_parquet(io.BytesIO(content))
