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
from world.chance import even, even_choice, even_normal
from world.minutes import BIKE, CAR, MOST_DELIVERIES, SCOOTER, VEHICLES, Rides, draw_minutes
from world.places import COURIERS, ZONES, Places, draw_places
from world.weather import CODES, Weather, draw_weather

if TYPE_CHECKING:
    import numpy as np

FIRST_DAY = date(2024, 1, 1)
LAST_DAY = date(2025, 12, 31)
DRIFT_START = date(2024, 3, 4)
RIVERSIDE = "riverside"
RIVERSIDE_SLOWNESS = 1.9
"""The bridge is closed: each of its kilometres goes over a congested detour."""
ORDERS_BY_WEEKDAY = (330, 340, 360, 390, 470, 510, 440)
MEALS = (0.3, 0.58, 0.12)
"""Shares of lunch, dinner and whatever is between."""
ITEMS = (0.17, 0.3, 0.26, 0.16, 0.07, 0.03, 0.01)
"""Shares of orders of 1 to 7 items."""


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
        rides = self._draw_rides(day, weather, rng)
        return _frame(day, rides, draw_minutes(rides, rng), weather, self.places)

    def _draw_rides(self, day: date, weather: Weather, rng: np.random.Generator) -> Rides:
        import numpy as np

        hours = _draw_hours(day, rng)
        count = len(hours)
        restaurant, zone, distance = self._draw_ways(count, rng)
        slowness = self.places.slowness[zone]
        if self.drifted(day):
            far, distance = _draw_riverside(distance, self.rng(day, 1))
            zone[far], slowness[far] = len(ZONES), RIVERSIDE_SLOWNESS
        busy = np.exp(-((hours - 12.8) ** 2) / 1.5) + np.exp(-((hours - 19.2) ** 2) / 2.5)
        mood = even(count, rng) - 0.06 * (distance - 3.0)
        return Rides(
            hours=hours,
            restaurant=restaurant,
            zone=zone,
            kitchen=self.places.kitchen[restaurant],
            slowness=slowness,
            distance=distance,
            vehicle=np.select([mood < 0.3, mood < 0.6], [CAR, SCOOTER], default=BIKE),
            weather=weather.code[hours.astype(int)],
            rush=(hours >= 16.5) & (hours < 19.0) & (day.weekday() < 5),
            open_orders=rng.poisson(2.0 + 8.0 * busy),
            items=1 + even_choice(count, ITEMS, rng),
            courier_deliveries=np.floor(MOST_DELIVERIES * even(count, rng)).astype(int),
        )

    def _draw_ways(self, count: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
        """Restaurant, zone and kilometres of each order."""
        import numpy as np

        restaurant = even_choice(count, self.places.popularity, rng)
        zone = (even(count, rng)[:, None] > self.places.reach[restaurant]).sum(axis=1).clip(0, len(ZONES) - 1)
        distance = self.places.distance[restaurant, zone] * (0.6 + 0.8 * even(count, rng))
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
    lunch, dinner = 12.8 + 0.8 * even_normal(count, rng), 19.0 + 1.4 * even_normal(count, rng)
    between = 11.0 + 12.0 * even(count, rng)
    hours = np.choose(even_choice(count, MEALS, rng), [lunch, dinner, between]).clip(11.0, 23.3)
    return np.sort(hours)


def _draw_riverside(distance: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Which orders go to riverside, and the kilometres of all."""
    import numpy as np

    count = len(distance)
    far = rng.permutation(count) < round(count * rng.uniform(0.37, 0.43))
    return far, np.where(far, np.round(6.0 + 8.0 * even(count, rng), 2), distance)


def _frame(day: date, rides: Rides, minutes: Any, weather: Weather, places: Places) -> pl.DataFrame:
    import numpy as np

    hour = rides.hours.astype(int)
    ordered = pl.Series((rides.hours * 3600).astype(int))
    columns = {
        "order_id": [f"{day:%Y%m%d}-{number:04d}" for number in range(len(hour))],
        "restaurant": np.take(places.restaurant_names, rides.restaurant),
        "zone": np.take([*ZONES, RIVERSIDE], rides.zone),
        "cuisine": np.take(places.cuisines, rides.restaurant),
        "courier": _couriers(rides),
        "courier_vehicle": np.take(VEHICLES, rides.vehicle),
        "weather": np.take(CODES, rides.weather),
        "temperature_c": pl.Series(weather.temperature[hour]).set(pl.Series(~weather.measured[hour]), None),
        "distance_km": rides.distance,
        "items": rides.items.astype(np.int64),
        "open_orders": rides.open_orders.astype(np.int64),
        "courier_deliveries": rides.courier_deliveries.astype(np.int64),
        "ordered_at": ordered,
        "delivered_at": ordered + pl.Series((minutes * 60).round().astype(int)),
    }
    midnight = pl.lit(datetime.combine(day, time())).cast(pl.Datetime("us"))
    return pl.DataFrame(columns).with_columns(
        (midnight + pl.duration(seconds=pl.col(name))).alias(name) for name in ("ordered_at", "delivered_at")
    )


def _couriers(rides: Rides) -> list[str]:
    """Who rides: each courier has one vehicle and one span of deliveries, so that the newest are always slow."""
    number = rides.courier_deliveries * COURIERS // MOST_DELIVERIES
    return [f"{VEHICLES[v]}_{n + 1:02d}" for v, n in zip(rides.vehicle, number, strict=True)]
