"""Revisions: what was learned from and labelled in the past stays as it was, whatever is corrected since."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from cli.status import show_outdated
from perennial import Late, Windows, col, days
from perennial.errors import PartitionBlocked
from perennial.graph.backfill import problems_in
from perennial.stores.clock import Clock
from perennial.stores.lake.windows import collect_training_set
from pipelines.delivery_eta import delivery_eta
from tests.assets.house import House, copy_of, open_house, simulate_days
from tests.clock import FixedClock

FIRST, LAST = "2024-01-01", "2024-01-05"
SHORT = replace(delivery_eta, windows=Windows(train=2, validation=1, test=1), aggregates=())
CORRECTED = "2024-01-03"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with five days, accepted, featurized and labelled."""
    root = tmp_path_factory.mktemp("revisions") / "home"
    with open_house(root, pipeline=SHORT) as house:
        simulate_days(root, FIRST, LAST)
        assert house.run(keys=(FIRST, LAST)).success
    return root


@pytest.fixture
def house(template: Path, tmp_path: Path) -> Iterator[House]:
    with copy_of(template, tmp_path / "home", pipeline=SHORT) as house:
        yield house


def training_set(house: House, as_of: str = LAST) -> str:
    return collect_training_set(house.tables, house.pipeline, as_of).training_set.content_hash


def correct(house: House, *changes: pl.Expr) -> None:
    house.rewrite(CORRECTED, *changes)
    assert house.run(keys=(CORRECTED, CORRECTED)).success


def test_training_again_as_of_a_date_finds_the_rows_of_that_date(house: House) -> None:
    before = training_set(house)

    correct(house, pl.col("distance_km") * 1.01)

    assert house.tables.records(SHORT, "features")[CORRECTED].revision == 2
    assert training_set(house) == before


def test_what_is_known_now_holds_the_correction(house: House) -> None:
    correct(house, pl.col("distance_km") * 1.01)

    history = house.tables.history(SHORT, "features")[CORRECTED]
    old, new = (house.tables.read(SHORT, "features", {CORRECTED: number})["distance_km"] for number in (1, 2))
    known = house.tables.known(SHORT, "features", history[2].known_at or pytest.fail("a revision without a time"))
    assert known[CORRECTED].revision == 2
    assert new.mean() == pytest.approx(old.mean() * 1.01)  # type: ignore[operator]
    assert list(history) == [1, 2]


def test_a_changed_declaration_renews_the_past_too(house: House) -> None:
    correct(house, pl.col("distance_km") * 1.01)
    changed = house.declared_as(features=[*SHORT.features, (col("items") * 2).alias("twice")])
    with pytest.raises(PartitionBlocked, match="features is out of date: its declaration has changed"):
        training_set(changed)

    assert changed.run(keys=(FIRST, LAST)).success

    old, new = (changed.tables.read(SHORT, "features", {CORRECTED: number}) for number in (1, 2))
    assert "twice" in old.columns
    assert not old["distance_km"].equals(new["distance_km"])
    assert "twice" not in house.tables.read(SHORT, "accepted", [CORRECTED]).columns
    collected = collect_training_set(changed.tables, changed.pipeline, LAST)
    assert dict(collected.revisions) == {"2024-01-02": 1, "2024-01-03": 1, "2024-01-04": 1, "2024-01-05": 1}


def test_a_label_that_changes_after_training_leaves_the_training_set_as_it_was(house: House) -> None:
    before = training_set(house)

    correct(house, pl.col("delivered_at") + pl.duration(minutes=5))

    old, new = (house.tables.read(SHORT, "labels", {CORRECTED: number})["label"] for number in (1, 2))
    assert (new - old).mean() == pytest.approx(5.0)
    assert training_set(house) == before


TOLD = replace(
    SHORT.label,
    source=col("courier"),
    confidence=pl.when(col("courier_vehicle") == "bike").then(0.75).otherwise(1.0),
)


def test_a_corrected_label_stands_beside_the_old_one_each_with_who_told_it_and_how_surely(house: House) -> None:
    told = replace(house.declared_as(label=TOLD), clock=FixedClock(datetime(2024, 1, 5, 12, tzinfo=UTC)))
    assert told.run(keys=(FIRST, LAST)).success
    before = {as_of: training_set(told, as_of) for as_of in ("2024-01-04", LAST)}

    later = pl.col("delivered_at") + pl.duration(minutes=5)
    correct(told, later, pl.lit("Zoe").alias("courier"), pl.lit("bike").alias("courier_vehicle"))

    tables, pipeline = told.tables, told.pipeline
    known = [tables.known(pipeline, "labels", pipeline.time.known_at(as_of))[CORRECTED] for as_of in before]
    assert [record.revision for record in known] == [1, 2]
    old, new = (tables.read(pipeline, "labels", {CORRECTED: record.revision}) for record in known)
    rows = old.join(new, on=["order_id", "event_time"]).filter(pl.col("order_id").is_unique())
    assert rows.height > 100
    assert (rows["label_right"] - rows["label"]).round(6).unique().to_list() == [5.0]
    assert rows["source"].n_unique() > 10
    assert set(rows["confidence"]) == {0.75, 1.0}
    assert rows.select("source_right", "confidence_right").unique().rows() == [("Zoe", 0.75)]
    assert training_set(told, "2024-01-04") == before["2024-01-04"]
    assert training_set(told, LAST) != before[LAST]


def test_status_names_a_training_set_that_learned_from_labels_which_are_others_now(house: House) -> None:
    assert house.run("training_set", keys=LAST).success
    as_it_was = status(house)
    correct(house, pl.col("delivered_at") + pl.duration(minutes=5))
    corrected = status(house)

    hours = house.declared_as(label=replace(SHORT.label, value=SHORT.label.value / 60))
    assert hours.run(keys=(FIRST, LAST)).success

    up_to_date = "delivery_eta: all of 5 partitions are up to date"
    assert up_to_date in as_it_was
    assert up_to_date in corrected  # what it learned from is still what was known as of its date
    for word in (
        "training_set",
        "it learned from other rows of 2024-01-02 .. 2024-01-05, 4 in all",
        f"train delivery_eta {LAST}",
    ):
        assert word in status(hours)


def status(house: House) -> str:
    console = Console(file=io.StringIO(), width=200)
    show_outdated(house.pipeline, house.tables, console, now=(house.clock or Clock()).now())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_correction_that_comes_too_late_is_quarantined_with_the_reason(house: House) -> None:
    strict = house.declared_as(late=Late(accept_for=days(30)))

    correct(strict, pl.when(pl.int_range(pl.len()) < 9).then(pl.col("distance_km") * 1.01).otherwise("distance_km"))

    landed, accepted, quarantined = (
        strict.tables.records(SHORT, name)[CORRECTED] for name in ("landed", "accepted", "quarantined")
    )
    assert landed.rows == accepted.rows + quarantined.rows
    old, new = (strict.tables.read(SHORT, "accepted", {CORRECTED: number}).sort("order_id") for number in (1, 2))
    assert new.equals(old)
    reasons = strict.tables.read(SHORT, "quarantined", [CORRECTED])["reason"]
    assert reasons.str.contains("known at most 30 d after the partition's end").any()


def test_a_file_that_breaks_leaves_what_stood_readable_as_of_then(house: House) -> None:
    before = training_set(house)
    house.file(CORRECTED).write_bytes(b"<html>503</html>")

    assert not house.run(keys=(CORRECTED, CORRECTED)).success

    assert training_set(house) == before
    standing = house.tables.standing(SHORT)
    assert "landed is blocked" in str(standing.problem_with("features", CORRECTED))


def test_a_changed_schema_leaves_the_past_readable_and_a_second_backfill_nothing_to_do(house: House) -> None:
    before = training_set(house)
    correct(house, pl.col("distance_km") * 1.01)
    columns = {**SHORT.schema.columns, "items": replace(SHORT.schema.columns["items"], kind="int32")}
    told = {**SHORT.schema.columns, "items": replace(SHORT.schema.columns["items"], meaning="dishes and drinks")}

    assert house.declared_as(schema=replace(SHORT.schema, columns=told)).pipeline.casting == SHORT.casting
    assert house.declared_as(schema=replace(SHORT.schema, columns=columns)).pipeline.casting != SHORT.casting

    wider = house.declared_as(schema=replace(SHORT.schema, allow_additional=True))
    assert wider.run(keys=(FIRST, LAST)).success
    assert training_set(wider) == before
    assert problems_in(wider.tables.standing(wider.pipeline), wider.pipeline.time.keys(FIRST, LAST)) == {}
