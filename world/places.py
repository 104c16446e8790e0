"""Places: the zones and restaurants of a city, drawn once from its seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

ZONES = (
    "charlottenburg friedrichshain kreuzberg mitte moabit neukoelln "
    "pankow prenzlauer_berg schoeneberg tempelhof treptow wedding"
).split()
CUISINES = "burger curry falafel noodles pizza salad schnitzel sushi".split()
RESTAURANTS = 40
COURIERS = 25
"""Of each vehicle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Arrays by zone (12) or by restaurant (40), in the order of their names."""

    restaurant_names: list[str]
    cuisines: list[str]
    popularity: np.ndarray[Any, Any]
    """Share of the orders, by restaurant."""
    kitchen: np.ndarray[Any, Any]
    """Minutes from order to pickup in an empty kitchen, by restaurant."""
    slowness: np.ndarray[Any, Any]
    """Factor on the minutes of a kilometre, by zone."""
    reach: np.ndarray[Any, Any]
    """Cumulative share of a restaurant's orders, by restaurant and zone."""
    distance: np.ndarray[Any, Any]
    """Kilometres by road, by restaurant and zone."""


def draw_places(seed: int) -> Places:
    """The places of the city of `seed`; people order near their homes."""
    import numpy as np

    rng = np.random.default_rng([seed, 0])
    angle = 2 * np.pi * np.arange(len(ZONES)) / len(ZONES)
    centres = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.uniform(1.0, 3.0, (len(ZONES), 1))
    kitchens = centres[np.arange(RESTAURANTS) % len(ZONES)] + rng.normal(0.0, 0.5, (RESTAURANTS, 2))
    distance = 0.6 + 1.1 * np.linalg.norm(kitchens[:, None, :] - centres[None, :, :], axis=2)
    closeness = rng.uniform(0.7, 1.3, len(ZONES)) * np.exp(-distance / 3.0)
    popularity = rng.uniform(0.5, 1.5, RESTAURANTS)
    return Places(
        restaurant_names=[f"{CUISINES[i % len(CUISINES)]}_{i + 1:02d}" for i in range(RESTAURANTS)],
        cuisines=[CUISINES[i % len(CUISINES)] for i in range(RESTAURANTS)],
        popularity=popularity / popularity.sum(),
        kitchen=rng.permutation(np.linspace(9.0, 18.0, RESTAURANTS)),
        slowness=rng.permutation(np.linspace(0.65, 1.45, len(ZONES))),
        reach=np.cumsum(closeness / closeness.sum(axis=1, keepdims=True), axis=1),
        distance=distance,
    )
