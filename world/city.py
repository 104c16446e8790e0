"""City: restaurants, couriers and dinners, one day at a time.

A day is a function of the city's seed, its drift and the date alone, so that days can be drawn in
any order, and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.errors import SourceError
from world.minutes import CAR, SCOOTER, VEHICLES, Rides, draw_minutes
from world.places import ZONES, Places, draw_places
from world.weather import CODES, Weather, draw_weather

if TYPE_CHECKING:
    import numpy as np

FIRST_DAY = date(2024, 1, 1)
LAST_DAY = date(2025, 12, 31)
DRIFT_START = date(2024, 3, 4)
RIVERSIDE = "riverside"
RIVERSIDE_SLOWNESS = 2.3
"""The bridge is closed: each of its kilometres goes over a congested detour."""
ORDERS_BY_WEEKDAY = (330, 340, 360, 390, 470, 510, 440)


@dataclass(frozen=True, kw_only=True)
class City:
    """A deterministic city; from `drift_start` on it delivers to riverside too."""

    seed: int = 7
    drift_start: date | None = DRIFT_START

    @cached_property
    def places(self) -> Places:
        """Its zones and restaurants."""
        return draw_places(self.seed)

    def drifted(self, day: date) -> bool:
        """Whether riverside is open on `day`."""
        return self.drift_start is not None and day >= self.drift_start

    def rng(self, day: date, stream: int) -> np.random.Generator:
        """The chance of one `day`, apart for each `stream`."""
        import numpy as np

        return np.random.default_rng([self.seed, day.toordinal(), stream])

    def orders(self, day: date) -> pl.DataFrame:
        """The true orders of `day` with their deliveries, by time. Raises SourceError outside the city's life."""
        check_day(day)
        rng = self.rng(day, 0)
        weather = draw_weather(day, rng)
        hours = _draw_hours(day, rng)
        restaurant, zone, distance = self._draw_ways(len(hours), rng)
        slowness = self.places.slowness[zone]
        if self.drifted(day):
            far, distance = _draw_riverside(distance, self.rng(day, 1))
            zone[far], slowness[far] = len(ZONES), RIVERSIDE_SLOWNESS
        rides = _draw_rides(day, hours, weather, self.places.kitchen[restaurant], slowness, distance, rng)
        return _frame(day, hours, draw_minutes(rides, rng), rides, restaurant, zone, weather, self.places)

    def _draw_ways(self, count: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
        """Restaurant, zone and kilometres of each order."""
        import numpy as np

        restaurant = rng.choice(len(self.places.popularity), count, p=self.places.popularity)
        zone = (rng.random(count)[:, None] > self.places.reach[restaurant]).sum(axis=1).clip(0, len(ZONES) - 1)
        distance = self.places.distance[restaurant, zone] * rng.uniform(0.6, 1.4, count)
        return restaurant, zone, np.round(distance.clip(0.3, 7.5), 2)


def check_day(day: date) -> None:
    """Raise SourceError when the city did not live on `day`."""
    if not FIRST_DAY <= day <= LAST_DAY:
        raise SourceError(
            "the simulated city has no such day",
            where="world",
            found=day.isoformat(),
            expected=f"a day from {FIRST_DAY} to {LAST_DAY}",
        )


def _draw_hours(day: date, rng: np.random.Generator) -> Any:
    """The hours of the day's orders, as fractions, in order: lunch, dinner and a few between."""
    import numpy as np

    count = int(ORDERS_BY_WEEKDAY[day.weekday()] * rng.uniform(0.93, 1.07))
    lunch, dinner, between = rng.normal(12.8, 0.8, count), rng.normal(19.0, 1.4, count), rng.uniform(11, 23, count)
    meal = rng.random(count)
    hours = np.select([meal < 0.3, meal < 0.88], [lunch, dinner], default=between).clip(11.0, 23.3)
    return np.sort(hours)


def _draw_riverside(distance: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Which orders go to riverside, and the kilometres of all."""
    import numpy as np

    count = len(distance)
    far = rng.permutation(count) < round(count * rng.uniform(0.37, 0.43))
    return far, np.where(far, np.round(rng.uniform(6.0, 14.0, count), 2), distance)


def _draw_rides(
    day: date, hours: Any, weather: Weather, kitchen: Any, slowness: Any, distance: Any, rng: np.random.Generator
) -> Rides:
    import numpy as np

    count = len(hours)
    busy = np.exp(-((hours - 12.8) ** 2) / 1.5) + np.exp(-((hours - 19.2) ** 2) / 2.5)
    mood = rng.random(count) - 0.06 * (distance - 3.0)
    return Rides(
        kitchen=kitchen,
        slowness=slowness,
        distance=distance,
        vehicle=np.select([mood < 0.3, mood < 0.6], [CAR, SCOOTER], default=0),
        weather=weather.code[hours.astype(int)],
        rush=(hours >= 16.5) & (hours < 19.0) & (day.weekday() < 5),
        open_orders=rng.poisson(2.0 + 8.0 * busy),
        items=1 + rng.poisson(1.8, count),
        courier_deliveries=rng.integers(0, 500, count),
    )


def _frame(
    day: date, hours: Any, minutes: Any, rides: Rides, restaurant: Any, zone: Any, weather: Weather, places: Places
) -> pl.DataFrame:
    import numpy as np

    hour = hours.astype(int)
    ordered = pl.lit(datetime.combine(day, time())) + pl.duration(seconds=pl.Series((hours * 3600).astype(int)))
    return pl.DataFrame(
        {
            "order_id": [f"{day:%Y%m%d}-{number:04d}" for number in range(len(hours))],
            "restaurant": np.take(places.restaurant_names, restaurant),
            "zone": np.take([*ZONES, RIVERSIDE], zone),
            "cuisine": np.take(places.cuisines, restaurant),
            "courier_vehicle": np.take(VEHICLES, rides.vehicle),
            "weather": np.take(CODES, rides.weather),
            "temperature_c": pl.Series(weather.temperature[hour]).set(pl.Series(~weather.measured[hour]), None),
            "distance_km": rides.distance,
            "items": rides.items.astype(np.int64),
            "open_orders": rides.open_orders.astype(np.int64),
            "courier_deliveries": rides.courier_deliveries.astype(np.int64),
        }
    ).with_columns(
        ordered_at=ordered.cast(pl.Datetime("us")),
        delivered_at=(ordered + pl.duration(seconds=pl.Series((minutes * 60).round().astype(int)))).cast(
            pl.Datetime("us")
        ),
    )
