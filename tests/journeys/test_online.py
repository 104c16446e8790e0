"""Online: what is out of date there is said by the status and the check, and the command that they name mends it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from cli.backfill import backfill_range
from cli.requeue import requeue_partition
from cli.session import Session
from cli.status import show_outdated
from perennial import Rolling, expect
from perennial.featurization.views import feature_views
from perennial.graph.online import AGGREGATES, ONLINE, behind
from perennial.stores.lake.aggregates import read_states
from perennial.stores.lake.tables import Outcome
from perennial.stores.online.feature_store import FeatureStore
from perennial.stores.online.state import OnlineState
from pipelines.delivery_eta import delivery_eta
from pipelines.discovery import Discovered
from tests.assets.house import House, copy_of, open_house, simulate_days
from tests.clock import FixedClock

pytestmark = pytest.mark.timeout(600)

FIRST, BEFORE, NEWEST = "2024-01-01", "2024-01-03", "2024-01-04"
AT = datetime(2024, 1, 5, 6, tzinfo=UTC)
"""The newest day is known, and the next has not ended: a correction that arrives now is known from now on."""
WIDE = [expect.between("distance_km", 0, 300), expect.quarantined_share(0.9)]
STRICT = [expect.between("distance_km", 0, 30), expect.quarantined_share(0.9)]
PIPELINE = replace(
    delivery_eta,
    aggregates=[Rolling(by="restaurant", of="label", how="mean", days=2), Rolling(by="zone", how="count", days=1)],
    expectations=WIDE,
)
DIED = Outcome(blocked="it was being written when its run ended", revision=1)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days, the newest of them online."""
    root = tmp_path_factory.mktemp("days") / "home"
    simulate_days(root, FIRST, NEWEST)
    with open_house(root, pipeline=PIPELINE, clock=FixedClock(AT)) as house:
        assert house.run(keys=(FIRST, NEWEST)).success
    return root


@pytest.fixture
def house(days: Path, tmp_path: Path) -> Iterator[House]:
    with copy_of(days, tmp_path / "home", pipeline=PIPELINE) as copy:
        yield replace(copy, clock=FixedClock(AT))


def online(house: House) -> list[OnlineState]:
    """What the online store itself says that it holds of each view."""
    store = FeatureStore(root=house.home.feature_store, online_url=house.home.online_store)
    found = [store.state(view) for view in feature_views(house.pipeline)]
    return [state for state in found if state]


def entities_known(house: House, key: str) -> list[int]:
    """How many entities of each view have values at the end of `key`, in the last state that the lake holds of it."""
    counts = []
    for view in feature_views(house.pipeline):
        rows = view.rows(read_states(house.tables, house.pipeline, [key]), house.pipeline)
        last = rows.filter(pl.col("known_at") == pl.col("known_at").max())
        counts.append(last.filter(pl.any_horizontal(pl.col(list(view.features)).is_not_null())).height)
    return counts


def status(house: House) -> str:
    console = Console(file=io.StringIO(), width=240)
    show_outdated(house.pipeline, house.tables, console, now=AT)
    return console.file.getvalue()  # type: ignore[attr-defined]


def check(house: House) -> dict[str, str]:
    """What the UI's check of the asset says."""
    return behind(house.tables.standing(house.pipeline), ONLINE, AT)


def run_what_status_names(house: House) -> str:
    """Give the command that the status names for the online store, and return what it prints."""
    (line,) = re.findall(rf"{ONLINE} is out of date.*", status(house))
    (named,) = re.findall(r"perennial (\S+) delivery_eta (\S+)(?: (\S+))?", line)
    command, first, last = named
    found = Discovered(pipelines=(house.pipeline,), broken=())
    session = Session(home=house.home, instance=house.instance, definitions=house.definitions, discovered=found)
    console = Console(file=io.StringIO(), width=240)
    if command == "requeue":
        requeue_partition(session, house.pipeline, first, console=console)
    else:
        assert command == "backfill"
        backfill_range(session, house.pipeline, first, last, everything=False, console=console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_correction_that_a_new_rule_blocks_goes_offline_again(house: House) -> None:
    before = [state.content for state in online(house)]
    house.rewrite(NEWEST, pl.col("distance_km") + 50, pl.col("delivered_at") + pl.duration(minutes=9))
    assert house.run(keys=NEWEST).success
    assert [state.known_at for state in online(house)] == [AT, AT]
    strict = house.declared_as(expectations=STRICT)
    strict.run("accepted", "quarantined", keys=(FIRST, NEWEST))
    assert set(check(strict)) == {NEWEST}

    said = run_what_status_names(strict)

    assert "accepted is blocked" in said
    assert [state.content for state in online(strict)] == before
    assert [state.known_at for state in online(strict)] == [PIPELINE.time.known_at(NEWEST)] * 2
    assert (ONLINE in status(strict), check(strict)) == (False, {})


def test_a_day_that_is_blocked_once_it_is_online_leaves_it_at_the_next_requeue(house: House) -> None:
    house.rewrite(NEWEST, pl.col("distance_km") + 50)
    assert house.run(keys=NEWEST).success
    strict = house.declared_as(expectations=STRICT)
    strict.run("accepted", "quarantined", keys=(FIRST, NEWEST))

    said = run_what_status_names(strict)

    assert "accepted is blocked" in said
    assert [state.entities for state in online(strict)] == entities_known(strict, NEWEST)
    assert (ONLINE in status(strict), check(strict)) == (False, {})


def test_aggregates_that_may_not_be_read_any_more_give_way_to_the_day_before(house: House) -> None:
    house.tables.block(house.pipeline, AGGREGATES, NEWEST, DIED, at=AT)
    assert f"it holds {NEWEST}" in status(house)

    run_what_status_names(house)

    assert {state.partition for state in online(house)} == {BEFORE}
    assert (ONLINE in status(house), check(house)) == (False, {})
    assert house.run(AGGREGATES, ONLINE, keys=NEWEST).success
    assert {state.partition for state in online(house)} == {NEWEST}
    assert (ONLINE in status(house), check(house)) == (False, {})


def test_where_nothing_may_be_read_the_status_names_what_is_still_online(house: House) -> None:
    for key in PIPELINE.time.keys(FIRST, NEWEST):
        house.tables.block(house.pipeline, AGGREGATES, key, DIED, at=AT)
    assert set(check(house)) == {NEWEST}

    run_what_status_names(house)

    assert {state.partition for state in online(house)} == {NEWEST}
    assert (ONLINE in status(house), check(house)) == (False, {})


def test_a_day_that_looks_back_on_what_must_land_again_is_named_for_a_backfill(house: House) -> None:
    schema = replace(PIPELINE.schema, allow_additional=not PIPELINE.schema.allow_additional)
    other = house.declared_as(schema=schema)
    assert not other.run(keys=NEWEST).success
    assert set(check(other)) == {NEWEST}

    run_what_status_names(other)

    assert (ONLINE in status(other), check(other)) == (False, {})
