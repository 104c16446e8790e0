"""Hotel: real bookings whose outcomes come weeks later, from the file to a model that serves, and no look ahead."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from perennial import Seasons, Windows
from perennial.errors import NoMatureLabels
from perennial.evaluation.comparison import BUNDLE, Comparison
from perennial.graph.lineage import steps_of
from perennial.graph.stages import data_assets, training_assets
from perennial.settings import CLONE
from perennial.stores.lake.leakage import audit_training_set
from perennial.stores.lake.windows import collect_training_set, known_shares, window_keys
from perennial.stores.models.artifacts import Artifacts
from perennial.stores.models.bundles import BundleStore
from perennial.stores.models.retraining import TrainingHistory
from pipelines.hotel_cancellation import hotel_cancellation
from resources.runs import RunResult
from tests.assets.house import House, open_house
from tests.docs.pages import blocks_of
from tests.journeys.hotel import BARRED, DatedHouse, bookings, deliver, known_on, with_features, with_outcomes
from tests.serving.conftest import running

pytestmark = [pytest.mark.real_data, pytest.mark.timeout(600)]

BOOKING = {
    "stays_in_weekend_nights": 0,
    "stays_in_week_nights": 2,
    "adults": 2,
    "children": 0,
    "babies": 0,
    "hotel": "City Hotel",
    "meal": "BB",
    "market_segment": "Online TA",
    "distribution_channel": "TA/TO",
    "reserved_room_type": "A",
    "customer_type": "Transient",
    "agent": "9",
    "company": None,
    "is_repeated_guest": 0,
    "previous_cancellations": 0,
    "previous_bookings_not_canceled": 0,
}
SPAN = ("2015-07", "2017-03")
TABLES = ("landed", "accepted", "quarantined", "features", "labels")


@pytest.fixture(scope="module")
def real(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, RunResult]]:
    """All months, backfilled from the real file."""
    root = tmp_path_factory.mktemp("hotel") / "home"
    source = str(real_data / "hotel_bookings")
    with open_house(root, pipeline=hotel_cancellation, HOTEL_CANCELLATION_SOURCE=source) as house:
        yield house, replace(house, illustrated=True).run(*data_assets(hotel_cancellation), keys=SPAN)


def test_every_booking_lands_in_the_month_it_was_made_and_those_without_guests_are_quarantined(
    real: tuple[House, RunResult],
) -> None:
    house, result = real

    assert result.success, result.errors
    rows = {name: sum(r.rows for r in house.tables.records(hotel_cancellation, name).values()) for name in TABLES}
    assert rows["landed"] == 101_297 == rows["accepted"] + rows["quarantined"]
    assert rows["labels"] == rows["accepted"]
    quarantined = house.tables.read(hotel_cancellation, "quarantined", hotel_cancellation.time.keys(*SPAN))
    odd = quarantined.filter((pl.col("guests") < 1) | ~pl.col("adr").is_between(0, 1_000))
    assert odd.height == quarantined.height > 100


def test_the_ui_shows_since_when_a_month_is_mature_and_how_late_its_outcomes_came(
    real: tuple[House, RunResult],
) -> None:
    house, _ = real

    records = house.instance.fetch_materializations(house.key("labels"), limit=100).records
    (shown,) = [
        r.asset_materialization.metadata for r in records if r.partition_key == "2016-05" and r.asset_materialization
    ]

    assert shown["mature"].value is True
    assert str(shown["mature since"].value).startswith("2017-0")  # 88.5 % were known when the year began
    assert shown["known now [share]"].value == 1.0
    assert "| 30 | 0.4" in str(shown["known after"].value)
    told = {line.split(" | ")[0].strip("| ") for line in str(shown["by source"].value).splitlines()}
    assert {"Check-Out", "Canceled", "No-Show"} <= told
    for name in ("delay curve", "first outcomes"):
        assert "data:image/png;base64," in str(shown[name].value)


def test_a_training_as_of_december_ends_with_the_newest_mature_month(real: tuple[House, RunResult]) -> None:
    house, _ = real

    shares = known_shares(house.tables, hotel_cancellation, "2016-12")
    keys = window_keys(house.tables, hotel_cancellation, "2016-12")

    assert (keys.all[0], keys.all[-1]) == ("2015-07", "2016-04")
    assert shares["2016-04"] >= 0.9 > shares["2016-05"]
    assert shares["2016-12"] == pytest.approx(0.433)
    with pytest.raises(NoMatureLabels, match=r"2016-06: |of the outcomes of"):
        window_keys(house.tables, hotel_cancellation, "2016-06")


def test_the_naive_set_shows_the_cancellations_that_came_first_and_the_honest_one_the_truth(
    real: tuple[House, RunResult],
) -> None:
    house, _ = real
    truth = house.tables.read(hotel_cancellation, "labels", hotel_cancellation.time.keys("2015-07", "2016-12"))
    share = dict(truth.group_by("partition").agg(pl.col("label").mean()).iter_rows())

    honest = collect_training_set(house.tables, hotel_cancellation, "2016-12")
    naive = collect_training_set(house.tables, hotel_cancellation, "2016-12", mature=False)

    def error(window: pl.DataFrame) -> float:
        seen = dict(window.group_by("partition").agg(pl.col("label").mean()).iter_rows())
        return max(abs(seen[key] - share[key]) for key in seen)

    assert naive.keys.all[-1] == "2016-12"
    assert error(naive.training_set.frame) > 0.2
    assert error(honest.training_set.frame) < 0.01
    for collected in (honest, naive):
        known = house.tables.read(hotel_cancellation, "labels", collected.keys.all)
        late = known.filter(pl.col("known_at") > datetime(2017, 1, 1, tzinfo=UTC)).select("booking")
        assert collected.training_set.frame.join(late, on="booking", how="semi").is_empty()


def test_the_declared_features_raise_no_alarm(real: tuple[House, RunResult]) -> None:
    house, _ = real

    report = audit_training_set(
        house.tables, hotel_cancellation, collect_training_set(house.tables, hotel_cancellation, "2016-12")
    )

    assert report.reason is None
    assert len(report.canaries) == 5


def test_a_model_as_of_december_is_released_within_the_goal(real: tuple[House, RunResult]) -> None:
    house, _ = real

    result = house.run(*training_assets(hotel_cancellation), keys="2016-12")

    assert result.success, result.errors
    evaluation = Artifacts(house.home.root / "artifacts").get("hotel_cancellation", "2016-12", "evaluation")
    compared = Comparison.from_json(evaluation["comparison.json"])
    assert compared.measures[BUNDLE]["log_loss"].value <= hotel_cancellation.objective.goal
    assert compared.baselines["base_rate"].gap.high < 0
    champion = house.tables.operations.champion("hotel_cancellation")
    assert champion is not None
    assert (champion.number, champion.as_of) == (1, "2016-12")
    assert champion.attributes["windows"]["test"] == ["2016-03", "2016-04"]


@pytest.mark.timeout(600)
def test_the_released_model_answers_a_new_booking_over_http_and_is_not_trained_again_on_the_same_data(
    real: tuple[House, RunResult],
) -> None:
    house, _ = real
    known = house.tables.read(hotel_cancellation, "labels", ["2017-02"])["booking"][0]
    quick = {"booked_on": "2017-02-01T00:00:00", "arrives_on": "2017-02-03T00:00:00", "lead_time": 2, **BOOKING}
    ahead = {"booked_on": "2017-02-01T00:00:00", "arrives_on": "2017-12-23T00:00:00", "lead_time": 325, **BOOKING}

    with running(house.home) as server:
        answer = server.client.post(
            "/v1/models/hotel_cancellation:predict", json={"instances": [quick | {"booking": known}, ahead]}
        )

    assert answer.status_code == 200, answer.text
    soon, late = answer.json()["predictions"]
    assert 0 < soon < late < 1
    history = TrainingHistory(
        tables=house.tables, artifacts=Artifacts(house.home.artifacts), bundles=BundleStore(house.home.bundles)
    )
    evidence = history.evidence(hotel_cancellation, now=datetime(2017, 1, 2, tzinfo=UTC))
    assert evidence.newest is not None
    assert evidence.last_trained == evidence.newest
    assert (evidence.newest.key, evidence.history) == ("2016-12", 10)


@pytest.mark.parametrize(("day", "mature"), [(date(2017, 3, 15), False), (date(2018, 12, 1), True)])
def test_what_is_measured_on_half_of_the_outcomes_is_marked_until_it_is_mature(
    real: tuple[House, RunResult], day: date, mature: bool
) -> None:
    house = DatedHouse(
        **{name: getattr(real[0], name) for name in ("home", "instance", "pipeline", "environment")}, day=day
    )

    assert house.run("inference_log", "ground_truth", "performance", keys="2017-02").success

    (newest,) = house.instance.fetch_materializations(house.key("performance"), limit=1).records
    assert newest.asset_materialization is not None
    shown = newest.asset_materialization.metadata
    assert shown["share with known outcome"].value == 0.5
    assert shown["outcomes are mature"].value is mature
    assert ("log loss [nats]" in shown) is mature
    assert ("not mature: log loss [nats]" in shown) is not mature


GUIDE = CLONE / "docs" / "label-maturity.md"
NUMBER = re.compile(r"\d+\.\d+")


def test_the_guide_prints_what_it_says_and_draws_its_picture(real: tuple[House, RunResult], tmp_path: Path) -> None:
    house, _ = real
    blocks = [block for block in blocks_of(GUIDE) if block.language in ("python", "text")]
    environment = {**os.environ, **house.home.environment, "PYTHONPATH": str(CLONE)}
    for code, shown in zip(blocks[::2], blocks[1::2], strict=True):
        done = subprocess.run(
            [sys.executable, "-c", code.text],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert NUMBER.sub("", done.stdout) == NUMBER.sub("", shown.text)
        printed, said = (list(map(float, NUMBER.findall(text))) for text in (done.stdout, shown.text))
        assert printed == pytest.approx(said, rel=0.02)
    picture = (tmp_path / "label-maturity.png").read_bytes()
    assert picture[:24] == (CLONE / "docs" / "pictures" / "label-maturity.png").read_bytes()[:24]  # format and size


# What follows happens in time: the file as it was known at the end of each month, a part of its bookings.

EVERY = 4
MONTHS = hotel_cancellation.time.keys("2015-07", "2015-12")
LATER = date(2016, 11, 1)
SMALL = {
    "aggregates": (),
    "expectations": (),
    "seasons": Seasons(min_history=36),
    "windows": Windows(train=4, validation=1, test=1),
}
LEAKY = with_features(*BARRED, **SMALL)


@pytest.fixture(scope="module")
def delivered(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DatedHouse, pl.DataFrame]]:
    """Six months, each landed when it ended with what was known then, under a declaration with every barred column."""
    rows = bookings(real_data / "hotel_bookings", every=EVERY)
    root = tmp_path_factory.mktemp("delivered")
    with open_house(root / "home", pipeline=LEAKY, HOTEL_CANCELLATION_SOURCE=str(root / "source")) as opened:
        first = DatedHouse(
            home=opened.home,
            instance=opened.instance,
            pipeline=LEAKY,
            environment=opened.environment,
            day=date(2015, 8, 1),
        )
        ends = {month: LEAKY.time.window(month).end.date() for month in MONTHS}
        for month, day in ends.items():
            deliver(known_on(rows, day), root / "source")
            assert replace(first, day=day).run(*data_assets(LEAKY), keys=("2015-07", month)).success
        yield replace(first, day=ends[MONTHS[-1]]), rows


def revisions(house: House) -> dict[tuple[str, str], int]:
    """By table and partition: how often it has changed."""
    tables = {name: house.tables.records(house.pipeline, name) for name in TABLES}
    return {(name, key): record.revision for name, records in tables.items() for key, record in records.items()}


def test_an_arrival_touches_only_the_partitions_whose_outcomes_it_brings(
    delivered: tuple[DatedHouse, pl.DataFrame],
) -> None:
    house, rows = delivered
    before, source = revisions(house), house.sources.folder(LEAKY)
    signatures = house.sources.signatures(LEAKY, MONTHS)
    late = rows.filter(pl.col("booked") < house.day, pl.col("status") >= house.day).sort("status").tail(1)
    month = late["booked"].dt.strftime("%Y-%m").item()

    arrived = pl.col("status") == late["status"].item()
    deliver(with_outcomes(rows, house.day, arrived=arrived), source)
    touched = {key for key, seen in house.sources.signatures(LEAKY, MONTHS).items() if seen != signatures[key]}
    run = house.run(*data_assets(LEAKY), keys=(MONTHS[0], MONTHS[-1]))

    assert run.success
    expected = set(rows.filter(arrived, pl.col("booked") < house.day)["booked"].dt.strftime("%Y-%m"))
    assert month in expected
    assert touched == expected != set(MONTHS)
    after = revisions(house)
    changed = {(name, key) for name, key in after if after[name, key] != before[name, key]}
    assert changed == {(name, key) for name in TABLES for key in expected}


def test_the_slowest_outcome_touches_one_month_though_six_later_ones_look_back_at_it(
    real_data: Path, tmp_path: Path
) -> None:
    rows = bookings(real_data / "hotel_bookings", every=EVERY).with_row_index("place")
    waits = pl.col("status") - pl.col("booked")
    slow = rows.filter(pl.col("booked").dt.strftime("%Y-%m").is_in(MONTHS)).sort(waits).tail(1)
    month, end = slow["booked"].dt.strftime("%Y-%m").item(), date(2016, 1, 1)
    rolling = with_features(**{**SMALL, "aggregates": hotel_cancellation.aggregates})
    with open_house(tmp_path / "home", pipeline=rolling, HOTEL_CANCELLATION_SOURCE=str(tmp_path / "source")) as opened:
        parts = {name: getattr(opened, name) for name in ("home", "instance", "pipeline", "environment")}
        deliver(known_on(rows, end).drop("place"), tmp_path / "source")
        first = DatedHouse(**parts, day=end)
        assert first.run(*data_assets(rolling), keys=(MONTHS[0], MONTHS[-1])).success
        before = first.hashes(steps_of(rolling))

        arrived = pl.col("place") == slow["place"].item()
        deliver(with_outcomes(rows, end, arrived=arrived).drop("place"), tmp_path / "source")
        later = DatedHouse(**parts, day=slow["status"].item() + timedelta(days=1))
        assert later.run(*data_assets(rolling), keys=(MONTHS[0], MONTHS[-1])).success
        after = later.hashes(steps_of(rolling))

    assert slow.select(waits.dt.total_days()).item() > 450
    assert month == MONTHS[0]
    changed = {(name, key) for name in after for key in after[name] if after[name][key] != before[name].get(key)}
    assert {key for _, key in changed} == {month}
    assert {"landed", "accepted", "features", "labels", "partials"} <= {name for name, _ in changed}
    assert set(MONTHS) == set(after["aggregates"])


@pytest.fixture(scope="module")
def resolved(delivered: tuple[DatedHouse, pl.DataFrame]) -> tuple[DatedHouse, str]:
    """The same months ten months later, nearly all outcomes known; and the training set that they gave before."""
    house, rows = delivered
    before = of_the_past(house)
    deliver(known_on(rows, LATER), house.sources.folder(LEAKY))
    assert replace(house, day=LATER).run(*data_assets(LEAKY), keys=(MONTHS[0], MONTHS[-1])).success
    return house, before


def of_the_past(house: House) -> str:
    short = replace(LEAKY, windows=Windows(train=2, validation=1, test=1))
    return collect_training_set(house.tables, short, "2015-12", mature=False).training_set.content_hash


def test_a_training_set_of_the_past_stays_what_it_was(resolved: tuple[DatedHouse, str]) -> None:
    house, before = resolved

    assert of_the_past(house) == before


def test_every_barred_column_put_back_is_caught_and_no_innocent_one(resolved: tuple[DatedHouse, str]) -> None:
    house, _ = resolved

    collected = collect_training_set(house.tables, LEAKY, "2016-10")
    report = audit_training_set(house.tables, LEAKY, collected)

    assert list(collected.keys.all) == MONTHS
    assert report.deliveries == len(MONTHS)
    assert report.missed == ()
    assert {leak.name for leak in report.leaks} == {expression.meta.output_name() for expression in BARRED}
    told = told_of_leaks()
    for each in (*report.features, *report.canaries):
        power, purity, changed, caught = told[each.name]
        assert float(power) == pytest.approx(each.power, abs=0.01)
        assert float(purity) == pytest.approx(each.purity, abs=0.01)
        assert changed == ("-" if each.changed is None else f"{each.changed:.1%}")
        assert (caught == "no") is (not each.caught)


def test_a_training_set_with_a_leak_is_blocked_in_its_run_and_in_later_ones(resolved: tuple[DatedHouse, str]) -> None:
    house, _ = resolved

    first = house.run("training_set", "base_rate", keys="2016-10")
    later = house.run("base_rate", keys="2016-10")

    assert [error.step for error in first.errors] == ["hotel_cancellation__training_set"]
    assert "no_feature_leaks" in first.errors[0].message
    assert "training_set is blocked: feature 'reservation_status' alone orders the outcomes" in later.errors[0].message
    (check,) = house.evaluations("training_set", "no_feature_leaks", first.run_id).values()
    assert "days_to_status" in str(check.metadata["features"].value)
    (refusal,) = house.tables.operations.ledger("hotel_cancellation", kind="refusal")
    assert "feature 'country' is not what was first known" in refusal.reason


def told_of_leaks() -> dict[str, list[str]]:
    """By feature and canary: what the guide says of it."""
    page = (CLONE / "docs" / "leakage.md").read_text(encoding="utf-8")
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    return {name: rest for name, *rest in cells if name}
