"""Stationary: simulated days in which nothing is wrong and the world stands still, for counting false alarms.

Two worlds: the city without its drift, 300 to 500 rows a day of which each is drawn evenly; and a shop
whose every parameter wanders from day to day, so that days differ by more than chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from benchmarks.faults import Target
from perennial import (
    Column,
    Daily,
    Files,
    Label,
    Median,
    Pipeline,
    Regression,
    Schema,
    ShareWithin,
    Windows,
    col,
)  # fmt: skip
from pipelines.delivery_eta import delivery_eta
from world.city import City


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Days without end of one simulated source."""

    name: str
    pipeline: Pipeline
    target: Target
    first: date
    days: Callable[[int, int], list[pl.DataFrame]]
    """Of a seed, so many days from `first` on, as they would be accepted."""


def city_days(seed: int, count: int) -> list[pl.DataFrame]:
    """Days of the delivery city, which never drifts."""
    city = City(seed=seed, drift_start=None)
    days = [CITY.first + timedelta(days=number) for number in range(count)]
    return [_dated(city.orders(day), day) for day in days]


def shop_days(seed: int, count: int) -> list[pl.DataFrame]:
    """Days of a shop: a weekly rhythm, a yearly one, and parameters that wander."""
    import numpy as np

    rng = np.random.default_rng([seed, 1])
    wander = dict.fromkeys(("rows", "distance", "speed", "weather", "share", "evening", "missing"), 0.0)
    found = []
    for number in range(count):
        day = SHOP.first + timedelta(days=number)
        wander = {name: 0.6 * value + rng.normal() for name, value in wander.items()}
        found.append(_dated(_shop_day(day, wander, rng), day))
    return found


def _shop_day(day: date, wander: dict[str, float], rng: object) -> pl.DataFrame:
    import numpy as np

    assert isinstance(rng, np.random.Generator)  # noqa: S101 - narrows the type
    weekday = day.weekday()
    rows = rng.poisson(SHOP_ROWS[weekday] * np.exp(0.05 * wander["rows"]))
    evening = rng.random(rows) < 0.5 + 0.02 * wander["evening"] + 0.1 * (weekday >= 5)
    hour = np.where(evening, rng.normal(18.5, 2.0, rows), rng.normal(10.5, 2.0, rows)).clip(0, 23.99)
    shares = (1 / np.arange(1, 31)) * np.exp(0.04 * rng.normal(size=30))
    distance = np.exp(1.2 + 0.02 * wander["distance"] + 0.1 * (weekday >= 5) + 0.6 * rng.normal(size=rows))
    speed = (30 + 0.5 * wander["speed"] + 5 * rng.normal(size=rows)).clip(5)
    minutes = (60 * distance / speed * np.exp(0.2 * rng.normal(size=rows))).clip(0.5, 600)
    season = 10 - 10 * np.cos(2 * np.pi * (day.timetuple().tm_yday - 20) / 365.25)
    rating = pl.Series(rng.choice(5, rows, p=[0.05, 0.1, 0.2, 0.35, 0.3]) + 1)
    unrated = pl.Series(rng.random(rows) < 0.2 + 0.01 * wander["missing"])
    sold = pl.DataFrame(
        {
            "sale": [f"{day:%Y%m%d}-{number:05d}" for number in range(rows)],
            "zone": [f"zone {z:02d}" for z in rng.choice(30, rows, p=shares / shares.sum())],
            "payment": np.where(rng.random(rows) < 0.62 + 0.01 * wander["share"], "card", "cash"),
            "distance": np.round(distance, 2),
            "speed": np.round(speed, 1),
            "fare": np.round(3 + 2.1 * distance + 0.15 * minutes + 0.5 * rng.normal(size=rows), 2),
            "temperature": np.round(season + 2 * wander["weather"] + 3 * np.sin((hour - 9) / 3.8), 1),
            "tip": np.where(rng.random(rows) < 0.55, 0.0, np.round(rng.gamma(2.0, 1.2, rows), 2)),
            "passengers": rng.poisson(0.6, rows) + 1,
            "rating": rating.set(unrated, None),
        }
    )
    return _timed(sold, day, seconds=hour * 3600, lasting=minutes * 60)


def _timed(sold: pl.DataFrame, day: date, *, seconds: Any, lasting: Any) -> pl.DataFrame:
    """The sales with their times: so many `seconds` after midnight, and each `lasting` so many."""
    midnight = pl.lit(datetime.combine(day, datetime.min.time())).cast(pl.Datetime("us"))
    begin, length = (pl.lit(pl.Series(each.astype("int64"))) for each in (seconds, lasting))
    return sold.with_columns(
        sold_at=midnight + pl.duration(seconds=begin), done_at=midnight + pl.duration(seconds=begin + length)
    )


def _dated(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    return rows.with_columns(partition=pl.lit(f"{day:%Y-%m-%d}"))


def _declare_shop() -> Pipeline:
    minutes = (col("done_at") - col("sold_at")).dt.total_seconds() / 60
    floats = ("distance", "speed", "fare", "temperature", "tip")
    return Pipeline(
        name="shop",
        owner="team:bench",
        objective=Regression(goal=5.0, unit="minutes", kpi=ShareWithin(5.0)),
        source=Files("{root}/{partition:%Y-%m-%d}.parquet", root="nowhere"),
        time=Daily(start="2021-01-01", event_time="sold_at"),
        key=["sale"],
        schema=Schema(
            {name: Column("string") for name in ("sale", "zone", "payment")}
            | {name: Column("float64") for name in floats}
            | {"passengers": Column("int64"), "rating": Column("int64", nullable=True)}
            | {"sold_at": Column("datetime"), "done_at": Column("datetime", known="with_label")}
        ),
        features=[*map(col, ("zone", "distance", "speed", "temperature", "passengers", "rating"))],
        label=Label("minutes", value=minutes, known_at="done_at", unit="minutes"),
        candidates=[Median(by="zone")],
        windows=Windows(train=2),
    )


SHOP_ROWS = (3_600, 3_700, 3_900, 4_100, 5_000, 5_600, 4_300)
CITY = World(
    name="city",
    pipeline=delivery_eta,
    target=Target(
        number="distance_km", other="temperature_c", related="open_orders", category="zone", key="order_id",
        event="ordered_at", label_end="delivered_at",
    ),
    first=date(2024, 1, 1),
    days=city_days,
)  # fmt: skip
SHOP = World(
    name="shop",
    pipeline=_declare_shop(),
    target=Target(
        number="distance", other="speed", related="fare", category="zone", key="sale", event="sold_at",
        label_end="done_at",
    ),
    first=date(2021, 1, 1),
    days=shop_days,
)  # fmt: skip
WORLDS = (CITY, SHOP)
