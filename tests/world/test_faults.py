from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.declaration import Pipeline
from perennial.ingestion.landing import Arrival, land
from perennial.validation.verdicts import Split, judge_partitions, split_rows
from world.city import FIRST_DAY, LAST_DAY, City
from world.faults import FAULTS, add_faults
from world.files import told_orders

CLOCK_CHANGES = [date(2024, 3, 31), date(2024, 10, 27)]


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    from pipelines.delivery_eta import delivery_eta

    return delivery_eta


def split(pipeline: Pipeline, day: date, told: pl.DataFrame) -> Split:
    fetched_at = pipeline.time.known_at(day.isoformat())
    arrival = Arrival(
        partition=day.isoformat(), rows=told, uri="", sha256="", size=0, signature="", fetched_at=fetched_at
    )
    landed = land(pipeline, arrival)
    assert landed.notes == ()
    return split_rows(landed.frame, pipeline.judged, pipeline.time)


@given(seed=st.integers(0, 1_000), day=st.dates(FIRST_DAY, LAST_DAY))
def test_one_to_three_rows_of_a_hundred_are_at_fault(seed: int, day: date) -> None:
    orders, told = City(seed=seed).orders(day), told_orders(City(seed=seed), day)
    intact = told.join(orders, on=orders.columns, how="semi", nulls_equal=True).unique()

    assert told.schema == orders.schema
    assert 0.005 < 1 - intact.height / orders.height < 0.03
    assert 0 < told.height - orders.height < 0.01 * orders.height
    assert set(told["order_id"]) == set(orders["order_id"])


def test_all_faults_happen() -> None:
    orders = City().orders(FIRST_DAY)
    spoilt = pl.concat([add_faults(orders, np.random.default_rng(seed)) for seed in range(40)])

    for name in {change.meta.output_name() for changes in FAULTS.values() for change in changes}:
        assert not set(spoilt[name]) <= set(orders[name])


def test_every_fault_breaks_an_expectation_of_its_own(pipeline: Pipeline) -> None:
    orders = City().orders(FIRST_DAY)

    spoilt = [split(pipeline, FIRST_DAY, orders.with_columns(changes)).quarantined for changes in FAULTS.values()]

    assert [rows.height for rows in spoilt] == [orders.height] * len(FAULTS)
    reasons = [rows["reason"].unique().item() for rows in spoilt]
    assert len(set(reasons)) == len(FAULTS)
    assert not any(";" in reason for reason in reasons)


@pytest.mark.parametrize("day", [FIRST_DAY, date(2024, 3, 4), *CLOCK_CHANGES, LAST_DAY])
def test_exactly_the_rows_at_fault_are_quarantined_and_the_day_goes_on(pipeline: Pipeline, day: date) -> None:
    orders = City().orders(day)

    found = split(pipeline, day, told_orders(City(), day))

    accepted = found.accepted.select(orders.columns)
    assert accepted.join(orders, on=orders.columns, how="anti", nulls_equal=True).is_empty()
    assert found.quarantined.select(orders.columns).join(orders, on=orders.columns, nulls_equal=True).is_empty()
    assert not judge_partitions(found, pipeline.judged)[day.isoformat()].blocked


def test_a_day_is_known_when_its_last_dinner_has_arrived(pipeline: Pipeline) -> None:
    for day in (*(date(2024, 3, number) for number in range(1, 31)), *CLOCK_CHANGES):
        delivered = City().orders(day).select(pipeline.time.utc("delivered_at")).to_series()
        assert (delivered < pipeline.time.known_at(day.isoformat())).all()
