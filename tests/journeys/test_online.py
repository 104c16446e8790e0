"""Online: what is out of date there is said by the status and the check, and the command that they name mends it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from cli.backfill import backfill_range
from cli.requeue import requeue_partition
from cli.status import show_outdated
from perennial import Rolling, expect
from perennial.errors import PerennialError
from perennial.featurization.views import feature_views
from perennial.graph.lineage import Standing
from perennial.graph.online import AGGREGATES, ONLINE, behind, newest_known
from perennial.graph.records import UNFINISHED, PartitionRecord
from perennial.stores.lake.aggregates import read_states
from perennial.stores.lake.tables import Outcome
from perennial.stores.online import materialization
from perennial.stores.online.feature_store import FeatureStore, Materialized
from perennial.stores.online.materialization import materialize_newest
from perennial.stores.online.state import OnlineState
from perennial.stores.operations.manifests import Manifests
from pipelines.delivery_eta import delivery_eta
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
DIED = Outcome(blocked=UNFINISHED, revision=1)
BUSY = "another process has been writing"


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


def store_of(house: House) -> FeatureStore:
    return FeatureStore(root=house.home.feature_store, online_url=house.home.online_store)


def bring(house: House, store: FeatureStore, at: datetime) -> dict[str, Materialized]:
    return materialize_newest(house.tables, store, house.pipeline, clock=FixedClock(at))


def beside(work: Callable[[], object]) -> str:
    """Do `work` as another process would, and return what it is refused for."""
    refused: list[str] = []

    def attempt() -> None:
        try:
            work()
        except PerennialError as error:
            refused.append(str(error))

    other = Thread(target=attempt)
    other.start()
    other.join()
    return "".join(refused)


def online(house: House) -> list[OnlineState]:
    """What the online store itself says that it holds of each view."""
    store = store_of(house)
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


def aggregates(house: House) -> dict[str, str]:
    return {key: record.content_hash for key, record in house.tables.records(house.pipeline, AGGREGATES).items()}


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
    console = Console(file=io.StringIO(), width=240)
    if command == "requeue":
        requeue_partition(house.session, house.pipeline, first, console=console)
    else:
        assert command == "backfill"
        backfill_range(house.session, house.pipeline, first, last, everything=False, console=console)
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


def test_another_store_is_told_and_filled_by_the_command_that_the_status_names(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = replace(house, home=replace(house.home, online_store=f"sqlite:///{tmp_path / 'another.db'}"))
    monkeypatch.setenv("PERENNIAL_ONLINE_STORE", moved.home.online_store)
    assert online(moved) == []
    assert "it was not brought to this store" in status(moved)
    assert set(check(moved)) == {NEWEST}

    said = run_what_status_names(moved)

    assert f"renewed: {ONLINE}" in said
    assert [state.content for state in online(moved)] == [state.content for state in online(house)]
    assert (ONLINE in status(moved), check(moved)) == (False, {})
    assert set(check(house)) == {NEWEST}  # the first is no longer kept


def test_another_machine_is_refused_while_one_brings_what_it_has_looked_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first looked before the newest day was known, and would write over it."""
    monkeypatch.setattr("perennial.stores.operations.database.BUSY_SECONDS", 0.2)
    here, there = store_of(house), replace(store_of(house), root=house.home.root / "of another machine")
    materialize, refused = FeatureStore.materialize, list[str]()

    def watched(store: FeatureStore, *args: Any, at: datetime) -> Materialized:
        if store == here:
            refused.append(beside(lambda: bring(house, there, AT)))
        return materialize(store, *args, at=at)

    monkeypatch.setattr(FeatureStore, "materialize", watched)
    bring(house, here, PIPELINE.time.known_at(BEFORE))

    assert [BUSY in said for said in refused] == [True, True]
    assert {state.partition for state in online(house)} == {BEFORE}
    assert f"it holds {BEFORE}" in status(house)
    bring(house, there, AT)
    assert {state.partition for state in online(house)} == {NEWEST}
    assert (ONLINE in status(house), check(house)) == (False, {})


def test_a_run_that_was_cut_short_before_its_record_claims_nothing_when_the_old_aggregates_come_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, stood = [state.content for state in online(house)], aggregates(house)
    record = Manifests.record_partitions

    def cut(store: Manifests, pipeline: str, table: str, records: Sequence[PartitionRecord], *, at: datetime) -> None:
        if table == ONLINE and records[0].status == "ok":
            raise ZeroDivisionError
        record(store, pipeline, table, records, at=at)

    house.rewrite(NEWEST, pl.col("distance_km") + 50, pl.col("delivered_at") + pl.duration(minutes=9))
    with monkeypatch.context() as cutting:
        cutting.setattr(Manifests, "record_partitions", cut)
        assert not house.run(keys=NEWEST).success
    strict = house.declared_as(expectations=STRICT)
    strict.run("accepted", "quarantined", keys=(FIRST, NEWEST))
    strict.run("partials", "aggregates", keys=(FIRST, NEWEST))
    assert aggregates(strict) == stood
    assert [state.content for state in online(strict)] != before
    assert check(strict) == {NEWEST: f"{ONLINE} is out of date: {UNFINISHED}"}

    run_what_status_names(strict)

    assert [state.content for state in online(strict)] == before
    assert (ONLINE in status(strict), check(strict)) == (False, {})


def test_aggregates_that_are_blocked_once_they_are_looked_up_are_not_read_as_nulls(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [state.content for state in online(house)]

    def looked(standing: Standing, at: datetime) -> tuple[str, PartitionRecord] | None:
        found = newest_known(standing, at)
        house.tables.block(house.pipeline, AGGREGATES, NEWEST, DIED, at=AT)
        return found

    monkeypatch.setattr(materialization, "newest_known", looked)
    bring(house, store_of(house), AT)

    assert [state.content for state in online(house)] == before
    assert f"it holds {NEWEST}" in status(house)


def test_nobody_else_writes_aggregates_between_looking_them_up_and_reading_them(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perennial.stores.operations.database.BUSY_SECONDS", 0.2)
    refused = list[str]()

    def looked(standing: Standing, at: datetime) -> tuple[str, PartitionRecord] | None:
        found = newest_known(standing, at)
        refused.append(beside(lambda: house.tables.block(house.pipeline, AGGREGATES, NEWEST, DIED, at=AT)))
        return found

    monkeypatch.setattr(materialization, "newest_known", looked)
    bring(house, store_of(house), AT)

    assert [BUSY in said for said in refused] == [True]
    assert (ONLINE in status(house), check(house)) == (False, {})
