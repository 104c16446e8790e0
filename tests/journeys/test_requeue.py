"""Requeue: one command renews a day, what its aggregates look back on and what is online, and ends its alert."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from cli.requeue import requeue_partition
from cli.status import show_outdated
from perennial import Rolling, expect
from perennial.featurization.views import feature_views
from perennial.graph.online import ONLINE
from perennial.graph.outdated import CHECK
from perennial.stores.clock import Clock
from perennial.stores.online.feature_store import FeatureStore
from pipelines.delivery_eta import delivery_eta
from sensors.alerts import build_failed_runs, build_mended_runs
from tests.assets.house import House, copy_of, open_house, simulate_days
from tests.ended import told_of

pytestmark = pytest.mark.timeout(600)

DAYS = ("2024-01-01", "2024-01-06")
BAD = "2024-01-06"
STRICT = replace(
    delivery_eta,
    aggregates=[Rolling(by="restaurant", of="label", how="mean", days=1)],
    expectations=[expect.between("distance_km", 0, 30), expect.quarantined_share(0.9)],
)
RIGHT = replace(STRICT, expectations=[expect.between("distance_km", 0, 300), expect.quarantined_share(0.9)])


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Six days under a rule that is too strict, the last of them blocked, after a run of them all and of the last."""
    root = tmp_path_factory.mktemp("judged") / "home"
    simulate_days(root, *DAYS)
    with open_house(root, pipeline=STRICT) as house:
        house.rewrite(BAD, pl.col("distance_km") + 50)
        ranged, single = house.run(keys=DAYS), house.run(keys=BAD)
        assert {error.kind for error in (*ranged.errors, *single.errors)} == {"PartitionBlocked"}
        assert house.tables.standing(STRICT).problem_with("features", "2024-01-05") is None
    return root, ranged.run_id, single.run_id


@pytest.fixture
def house(judged: tuple[Path, str, str], tmp_path: Path) -> Iterator[House]:
    """A copy of one's own, and an alert for each of its two failed runs."""
    with copy_of(judged[0], tmp_path / "home", pipeline=STRICT) as copy:
        for run_id in judged[1:]:
            tick(copy, build_failed_runs([STRICT]), run_id)
        assert len(alerts(copy)) == 2
        yield copy


def tick(house: House, sensor: Any, run_id: str) -> Any:
    """What `sensor` answers to how a run ended."""
    return told_of(sensor, house.instance, run_id, {"tables": house.tables, "clock": Clock()})


def mended(house: House) -> None:
    """Let the sensor see the last run, a success."""
    (run,) = house.instance.get_runs(limit=1)
    tick(house, build_mended_runs([house.pipeline]), run.run_id)


def alerts(house: House) -> list[str]:
    return [alert.key for alert in house.tables.operations.open_alerts("delivery_eta")]


def requeue(house: House, key: str) -> tuple[str | None, str]:
    """What `perennial requeue` answers and prints."""
    console = Console(file=io.StringIO(), width=200)
    problem = requeue_partition(house.session, house.pipeline, key, console=console)
    return problem, console.file.getvalue()  # type: ignore[attr-defined]


def status(house: House) -> str:
    console = Console(file=io.StringIO(), width=200)
    show_outdated(house.pipeline, house.tables, console, now=(house.clock or Clock()).now())
    return console.file.getvalue()  # type: ignore[attr-defined]


def online(house: House) -> str:
    """The hash of what servers read now."""
    store = FeatureStore(root=house.home.feature_store, online_url=house.home.online_store)
    state = store.state(feature_views(house.pipeline)[0])
    assert state is not None
    return state.content


def test_one_command_renews_the_day_its_window_and_what_is_online_and_both_alerts_end(house: House) -> None:
    before = online(house)
    right = house.declared_as(expectations=RIGHT.expectations)

    problem, said = requeue(right, BAD)

    assert problem is None
    assert "features, labels, online_features" in said
    for name in ("accepted", "aggregates", "features", "labels", "summary"):
        assert right.tables.standing(right.pipeline).problem_with(name, BAD) is None
    told = " ".join(said.split())  # it is cut where the console ends
    assert re.search(r"accepted is out of date: .*, in 2024-01-01 \.\. [\d-]+, \d in all: perennial backfill", told)
    assert online(right) != before
    assert ONLINE not in status(right)
    assert right.evaluations(ONLINE, CHECK, right.instance.get_runs(limit=1)[0].run_id)[None].passed
    mended(right)
    assert alerts(right) == []
    assert requeue(right, BAD)[1].count("renewed: nothing") == 1


def test_a_right_file_for_the_day_ends_the_alert_of_the_longer_run_too(house: House) -> None:
    assert house.run("landed", keys="2024-01-02").success
    mended(house)
    assert len(alerts(house)) == 2
    house.rewrite(BAD, pl.lit(1.0).alias("distance_km"))

    assert house.run(keys=BAD).success

    mended(house)
    assert alerts(house) == []


def test_the_status_and_the_check_say_that_the_online_store_holds_what_was_before(house: House) -> None:
    house.rewrite(BAD, pl.lit(1.0).alias("distance_km"))
    names = ("landed", "accepted", "quarantined", "partials", "aggregates", "features", "labels", "profile", "summary")

    assert house.run(*names, keys=BAD).success

    assert f"{ONLINE} is out of date: aggregates have changed" in status(house)
    assert f"perennial requeue delivery_eta {BAD}" in status(house)
    problem, said = requeue(house, BAD)
    assert (problem, "renewed: online_features" in said) == (None, True)
    assert ONLINE not in status(house)
