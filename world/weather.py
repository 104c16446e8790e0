"""Weather: what the sky does to a city, hour by hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

DRY, RAIN, SNOW = range(3)
CODES = ("dry", "rain", "snow")
WET_DAYS = 0.45
"""Share of days with a spell of rain or snow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """The 24 hours of one day."""

    code: np.ndarray[Any, Any]
    temperature: np.ndarray[Any, Any]
    """Degrees Celsius."""
    measured: np.ndarray[Any, Any]
    """Whether the sensor was on."""


def draw_weather(day: date, rng: np.random.Generator) -> Weather:
    """The weather of `day`: warm in July, and wet in one spell if at all."""
    import numpy as np

    hour = np.arange(24)
    season = -np.cos(2 * np.pi * (day.timetuple().tm_yday - 20) / 365.25)
    mean = 10.5 + 9.5 * season + rng.normal(0.0, 3.0)
    temperature = np.round(mean - 3.5 * np.cos(2 * np.pi * (hour - 3) / 24), 1)
    begins, lasts, wet = rng.integers(8, 21), rng.integers(4, 11), rng.random() < WET_DAYS
    spell = wet & (hour >= begins) & (hour < begins + lasts)
    broken, off = rng.integers(11, 22), rng.random() < 0.15
    return Weather(
        code=np.where(spell, np.where(temperature < 1.0, SNOW, RAIN), DRY),
        temperature=temperature,
        measured=~(off & (hour >= broken) & (hour < broken + 2)),
    )
