"""Exact sums: totals that do not depend on the order of what is added.

Floating-point sums change their last digits with the order of the rows and the number of threads. Here
each number is written as three integers in steps of 2^32 (whole words above 2^32, units, and fractions
down to 2^-32), whose sums are exact, can be subtracted again, and are read back as one float at the end.
"""

from __future__ import annotations

import polars as pl

WORD = 2.0**32
LARGEST = 2.0**64
"""Numbers below it can be added 2^31 times before an integer overflows."""
LIMBS = ("words", "units", "fractions")


def limbs_of(value: pl.Expr, name: str, *, largest: float = LARGEST) -> list[pl.Expr]:
    """`value` as three integer columns named after `name`; a null counts nothing. None is beyond `largest`.

    >>> pl.DataFrame({"x": [1.5, -0.25]}).select(limbs_of(pl.col("x"), "x")).sum().row(0)
    (0, 1, 1073741824)
    """
    words = (value * (1 / WORD)).cast(pl.Int64) if largest >= WORD else pl.lit(0, pl.Int64)
    rest = value - words.cast(pl.Float64) * WORD if largest >= WORD else value
    units = rest.cast(pl.Int64)
    fractions = ((rest - units.cast(pl.Float64)) * WORD).round().cast(pl.Int64)
    parts = zip(limb_names(name), (words, units, fractions), strict=True)
    return [limb.fill_null(0).alias(column) for column, limb in parts]


def limb_names(name: str) -> list[str]:
    """The columns that hold the sum called `name`."""
    return [f"{name}_{limb}" for limb in LIMBS]


def total_of(name: str) -> pl.Expr:
    """The sum called `name` as one float: its limbs put together again."""
    words, units, fractions = (pl.col(column).cast(pl.Float64) for column in limb_names(name))
    return words * WORD + units + fractions * (1 / WORD)
