"""Minutes: how long a dinner takes, the law that a model has to find.

Kitchen, ride and chance: a full queue costs more than it seems, rain stops bikes, rush hour stops
cars, each zone has roads of its own, and each mixes with the distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from world.weather import RAIN, SNOW

if TYPE_CHECKING:
    import numpy as np

BIKE, SCOOTER, CAR = range(3)
VEHICLES = ("bike", "scooter", "car")
PER_KILOMETRE = (3.6, 2.3, 2.1)
"""Minutes of a kilometre on a dry road, by vehicle."""
IN_RAIN = (1.7, 1.35, 1.05)
IN_SNOW = (2.0, 1.8, 1.25)
IN_RUSH = (1.0, 1.15, 1.8)
SHORTEST, LONGEST = 20.0, 90.0
MOST_DELIVERIES = 500
"""Of a courier, in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rides:
    """A day's orders as their couriers meet them, an array each, one value an order."""

    hours: np.ndarray[Any, Any]
    """Of the order, since midnight."""
    restaurant: np.ndarray[Any, Any]
    zone: np.ndarray[Any, Any]
    kitchen: np.ndarray[Any, Any]
    slowness: np.ndarray[Any, Any]
    distance: np.ndarray[Any, Any]
    vehicle: np.ndarray[Any, Any]
    weather: np.ndarray[Any, Any]
    rush: np.ndarray[Any, Any]
    open_orders: np.ndarray[Any, Any]
    items: np.ndarray[Any, Any]
    courier_deliveries: np.ndarray[Any, Any]


def draw_minutes(rides: Rides, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Minutes from order to door, between 20 and 90."""
    import numpy as np

    waiting = 0.5 * rides.open_orders + 1.2 * np.maximum(rides.open_orders - 8, 0) ** 1.2
    cooking = rides.kitchen + 0.8 * rides.items + np.minimum(waiting, 22.0)
    pace = np.take(PER_KILOMETRE, rides.vehicle) * rides.slowness
    pace = pace * np.where(rides.weather == RAIN, np.take(IN_RAIN, rides.vehicle), 1.0)
    pace = pace * np.where(rides.weather == SNOW, np.take(IN_SNOW, rides.vehicle), 1.0)
    pace = pace * np.where(rides.rush, np.take(IN_RUSH, rides.vehicle), 1.0)
    novice = np.where(rides.courier_deliveries < 60, 3.0, 0.0)
    noise = rng.normal(0.0, 2.6, len(pace)) + rng.exponential(1.2, len(pace))
    minutes: np.ndarray[Any, Any] = cooking + rides.distance * pace + novice + noise
    return minutes.clip(SHORTEST, LONGEST)
