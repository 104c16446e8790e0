from datetime import date, datetime, time, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import SourceError
from perennial.featurization.expressions import FeatureKind
from perennial.monitoring.drift import drift_report, reference_sample
from world.city import FIRST_DAY, LAST_DAY, RIVERSIDE, City

DAYS = st.dates(FIRST_DAY, LAST_DAY)
SEEDS = st.integers(0, 1_000)
WATCHED: dict[str, FeatureKind] = {
    "distance_km": "number",
    "items": "number",
    "open_orders": "number",
    "zone": "category",
    "cuisine": "category",
    "courier_vehicle": "category",
}


def days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=number) for number in range(count)]


def orders(city: City, first: date, count: int) -> pl.DataFrame:
    return pl.concat([city.orders(day) for day in days(first, count)])


@given(seed=SEEDS, day=DAYS, other=DAYS)
def test_a_day_is_the_same_whenever_and_after_whatever_it_is_drawn(seed: int, day: date, other: date) -> None:
    city = City(seed=seed)
    city.orders(other)

    assert city.orders(day).equals(City(seed=seed).orders(day))


@given(seed=SEEDS, day=DAYS)
def test_every_true_order_is_plausible(seed: int, day: date) -> None:
    drawn = City(seed=seed).orders(day)
    minutes = (drawn["delivered_at"] - drawn["ordered_at"]).dt.total_seconds() / 60

    assert 300 <= drawn.height <= 550
    assert drawn["order_id"].is_unique().all()
    assert drawn["ordered_at"].is_sorted()
    assert drawn["ordered_at"].dt.date().unique().to_list() == [day]
    assert minutes.is_between(20, 90).all()
    assert (drawn["delivered_at"] < datetime.combine(day, time()) + timedelta(days=1, hours=1)).all()
    assert drawn.drop("temperature_c").null_count().sum_horizontal().item() == 0
    assert drawn["restaurant"].n_unique() == 40
    assert set(drawn["weather"]) <= {"dry", "rain", "snow"}


@given(seed=SEEDS, day=DAYS)
def test_two_cities_or_days_are_never_alike(seed: int, day: date) -> None:
    here = City(seed=seed).orders(day).drop("order_id", "ordered_at", "delivered_at")

    assert not here.equals(City(seed=seed + 1).orders(day).drop("order_id", "ordered_at", "delivered_at"))


@given(seed=SEEDS, start=DAYS, day=DAYS)
def test_riverside_takes_two_orders_of_five_from_the_drift_on_and_none_before(
    seed: int, start: date, day: date
) -> None:
    drawn = City(seed=seed, drift_start=start).orders(day)
    far = drawn.filter(pl.col("zone") == RIVERSIDE)

    if day < start:
        assert far.is_empty()
        assert drawn.equals(City(seed=seed, drift_start=None).orders(day))
    else:
        assert 0.35 <= far.height / drawn.height <= 0.45
        assert far["distance_km"].is_between(6, 14).all()


@given(seed=SEEDS, day=DAYS)
def test_a_courier_keeps_one_vehicle_and_never_has_far_more_or_fewer_deliveries(seed: int, day: date) -> None:
    drawn = pl.concat([City(seed=seed).orders(day), City(seed=seed + 1).orders(LAST_DAY)])
    riders = drawn.group_by("courier").agg(
        pl.col("courier_vehicle").unique(),
        pl.col("courier_deliveries").min().alias("least"),
        pl.col("courier_deliveries").max().alias("most"),
    )

    assert 60 <= riders.height <= 75
    assert riders["courier_vehicle"].list.len().max() == 1
    assert (riders["most"] - riders["least"]).max() < 20  # type: ignore[operator]


def test_a_new_courier_is_slower_than_an_old_one() -> None:
    drawn = orders(City(drift_start=None), FIRST_DAY, 28)
    minutes = (pl.col("delivered_at") - pl.col("ordered_at")).dt.total_seconds() / 60
    means = dict(drawn.filter(pl.col("courier_vehicle") == "car").group_by("courier").agg(minutes.mean()).iter_rows())

    new, old = ([means[f"car_{n:02d}"] for n in numbers] for numbers in (range(1, 4), range(4, 26)))
    assert np.mean(new) > np.mean(old) + 2


@pytest.mark.parametrize("day", [FIRST_DAY - timedelta(days=1), LAST_DAY + timedelta(days=1)])
def test_a_day_outside_the_citys_life_is_refused_with_the_days_there_are(day: date) -> None:
    with pytest.raises(SourceError, match=f"found {day}, expected a day from 2024-01-01 to 2025-12-31"):
        City().orders(day)


def test_the_week_has_a_rhythm_that_peaks_on_saturday() -> None:
    counts = orders(City(drift_start=None), FIRST_DAY, 56).group_by(pl.col("ordered_at").dt.weekday()).len()

    by_weekday = dict(counts.iter_rows())
    assert max(by_weekday, key=lambda weekday: by_weekday[weekday]) == 6
    assert min(by_weekday, key=lambda weekday: by_weekday[weekday]) in (1, 2)


def test_the_sensor_is_off_for_some_hours_and_weather_comes_in_spells() -> None:
    drawn = orders(City(drift_start=None), FIRST_DAY, 100)
    hourly = drawn.group_by(pl.col("ordered_at").dt.truncate("1h").alias("hour")).agg(pl.first("weather")).sort("hour")
    changes = sum(a != b for a, b in pairwise(hourly["weather"]))

    assert 0 < drawn["temperature_c"].null_count() < 0.1 * drawn.height
    assert set(hourly["weather"]) == {"dry", "rain", "snow"}
    assert changes < 0.2 * hourly.height


@pytest.mark.parametrize("seed", [7, 1])
def test_watched_columns_raise_no_alarm_before_the_drift_and_one_every_day_after(seed: int) -> None:
    start = date(2024, 3, 4)
    city = City(seed=seed, drift_start=start)
    reference = reference_sample(orders(city, FIRST_DAY, 28))

    before = [
        drift_report(reference, city.orders(day), WATCHED, threshold=0.2) for day in days(start - timedelta(35), 35)
    ]
    after = [drift_report(reference, city.orders(day), WATCHED, threshold=0.2) for day in days(start, 14)]

    assert [report.reason for report in before if report.drifted] == []
    assert all(report.drifted for report in after)
    assert all({"distance_km", "zone"} <= set(report.culprits) for report in after)


def test_minutes_per_kilometre_are_dearer_on_the_way_to_riverside() -> None:
    drawn = orders(City(), date(2024, 3, 4), 14).with_columns(
        minutes=(pl.col("delivered_at") - pl.col("ordered_at")).dt.total_seconds() / 60
    )

    def slope(part: pl.DataFrame) -> float:
        return float(np.polyfit(part["distance_km"], part["minutes"], 1)[0])

    calm = ~pl.col("ordered_at").dt.hour().is_between(16, 18) & (pl.col("open_orders") <= 6)
    cars = drawn.filter((pl.col("courier_vehicle") == "car") & calm)
    there, elsewhere = cars.filter(pl.col("zone") == RIVERSIDE), cars.filter(pl.col("zone") != RIVERSIDE)
    assert slope(there) > 1.4 * slope(elsewhere)
