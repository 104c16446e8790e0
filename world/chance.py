"""Chance: draws that spread evenly over a day, so that a day of 400 orders looks like its neighbours.

Each follows its distribution, row by row; only the day as a whole strays less than chance alone
would let it (Latin hypercube sampling, McKay et al. 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def even(count: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """`count` uniform draws from [0, 1), one from each of `count` equal parts, in random order."""
    drawn: np.ndarray[Any, Any] = (rng.permutation(count) + rng.random(count)) / count
    return drawn


def even_normal(count: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """`count` standard normal draws, spread evenly."""
    import numpy as np

    radius: np.ndarray[Any, Any] = np.sqrt(-2.0 * np.log1p(-even(count, rng)))
    return radius * np.cos(2 * np.pi * even(count, rng))


def even_choice(count: int, shares: Sequence[float] | np.ndarray[Any, Any], rng: np.random.Generator) -> Any:
    """`count` indices into `shares`, each as often as its share says, spread evenly."""
    import numpy as np

    return np.searchsorted(np.cumsum(shares)[:-1], even(count, rng), side="right")
