"""Verdicts are decided by the order of time: whatever came in which order, and was corrected, they end up the same."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.in_order import judge_in_order
from perennial import Column, Linear, Schema
from perennial.graph.lineage import inputs_of
from perennial.graph.records import PartitionRecord
from perennial.stores.lake.acknowledgements import acknowledge, acknowledged
from perennial.stores.lake.judging import Judging, Verdict
from perennial.stores.lake.summaries import TABLE, unfit, unjudged
from perennial.stores.lake.tables import Tables
from perennial.validation.seasons.judgement import Seasons
from perennial.validation.seasons.panel import panel_of
from perennial.validation.seasons.summaries import summarize_partitions, watched_columns
from tests.eta import declare_eta
from tests.lake import AT, open_tables

ROWS = 150
DAYS = [f"2024-01-{day:02d}" for day in range(1, 10)]
PIPELINE = declare_eta(
    schema=Schema(
        {
            "order": Column("string"),
            "km": Column("float64"),
            "asked": Column("datetime"),
            "done": Column("datetime", known="with_label"),
        }
    ),
    features=[pl.col("km")],
    candidates=[Linear()],
    seasons=Seasons(history=4, min_history=3),
)


def rows_of(day: str, factor: float, revision: int) -> pl.DataFrame:
    """The accepted rows of a day; `factor` is what its unit is off by."""
    place, start = DAYS.index(day) + 7 * revision, datetime.fromisoformat(day)
    km = [1 + 6 * ((n * 37 + place * 11) % ROWS) / ROWS for n in range(ROWS)]
    asked = [start + timedelta(minutes=n * 1440 / ROWS) for n in range(ROWS)]
    return pl.DataFrame(
        {
            "order": [f"{day} {n}" for n in range(ROWS)],
            "km": [value * factor for value in km],
            "asked": asked,
            "done": [at + timedelta(minutes=10 + 2 * value) for at, value in zip(asked, km, strict=True)],
            "partition": day,
        }
    )


@dataclass
class World:
    """A lake in which days are delivered, corrected and acknowledged, each followed by what its run would judge."""

    tables: Tables
    revisions: dict[str, int] = field(default_factory=dict)

    def deliver(self, day: str, factor: float = 1.0) -> list[Verdict]:
        """A new revision of `day`, summarized and judged."""
        number = self.revisions[day] = self.revisions.get(day, 0) + 1
        content = f"{day} {number}"
        for name, made_from in (("landed", "file"), ("accepted", content)):
            record = PartitionRecord(
                partition=day,
                revision=number,
                content_hash=content,
                rows=ROWS,
                inputs=inputs_of(PIPELINE, name, made_from),
            )
            self.tables.operations.record_partitions("eta", name, [record], at=AT)
        standing = self.tables.standing(PIPELINE)
        accepted = self.tables.history(PIPELINE, "accepted")[day][number]
        summary = summarize_partitions(rows_of(day, factor, number), PIPELINE)
        self.tables.save(PIPELINE, TABLE, summary, {day: unjudged(standing, accepted)}, at=AT)
        return self.judge(day)

    def acknowledge(self, day: str) -> list[Verdict]:
        acknowledge(self.tables, PIPELINE, day, "it is right", actor="ann", at=AT)
        return self.judge(day)

    def judge(self, *asked: str) -> list[Verdict]:
        judging = Judging(self.tables, PIPELINE, asked=asked)
        batches = [judging.keys[start : start + 3] for start in range(0, len(judging.keys), 3)]
        return [verdict for batch in batches for verdict in judging.judge(batch, at=AT)]

    def verdicts(self) -> dict[str, tuple[str, list[str]]]:
        """Of each day the verdict and the days that it was held against."""
        said = {key: record.provenance for key, record in self.tables.records(PIPELINE, TABLE).items()}
        return {key: (each["verdict"], each["history"]) for key, each in said.items()}

    def from_scratch(self) -> dict[str, tuple[str, list[str]]]:
        """The same by the rule alone, over all days at once."""
        records = self.tables.records(PIPELINE, TABLE)
        words = acknowledged(self.tables.operations, PIPELINE)
        found = judge_in_order(
            panel_of(self.tables.read(PIPELINE, TABLE, list(records))),
            list(records),
            [],
            columns=watched_columns(PIPELINE),
            calendar=PIPELINE.time,
            seasons=PIPELINE.seasons,
            acknowledged=frozenset(key for key, r in records.items() if (key, r.inputs["accepted"]) in words),
        )
        return {key: (judgement.verdict, list(judgement.history)) for key, judgement in found.items()}

    def behind(self) -> list[str]:
        standing = self.tables.standing(PIPELINE)
        return [key for key in self.tables.records(PIPELINE, TABLE) if standing.waits_for_others(TABLE, key)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(open_tables(tmp_path))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.sampled_from(DAYS), st.sampled_from([1.0, 1.0, 1.0, 1.609])),
        st.tuples(st.just("acknowledge"), st.sampled_from(DAYS)),
    ),
    min_size=4,
    max_size=9,
)


@settings(max_examples=5, deadline=None)
@given(steps=steps)
def test_whatever_came_first_the_verdicts_are_those_of_one_pass_over_all_days(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(open_tables(Path(folder) / "home"))
        for day in DAYS[:5]:
            world.deliver(day)

        for step, *arguments in steps:
            blocked = unfit(world.tables, PIPELINE, world.revisions)
            if step == "deliver" or arguments[0] in blocked:
                getattr(world, step)(*arguments)

        assert world.verdicts() == world.from_scratch()
        assert world.behind() == []
        world.tables.operations.close()


def test_a_second_pass_finds_nothing_to_do(world: World) -> None:
    for day in DAYS:
        world.deliver(day)
    before = world.tables.records(PIPELINE, TABLE)

    assert world.judge() == []
    assert world.tables.records(PIPELINE, TABLE) == before


def test_a_range_and_single_days_get_the_same_verdicts(world: World) -> None:
    factors = dict.fromkeys(DAYS, 1.0) | {DAYS[5]: 1.609}
    for day in reversed(DAYS):
        world.deliver(day, factors[day])
    single = world.verdicts()

    world.judge(*DAYS)

    assert world.verdicts() == single
    assert single[DAYS[5]][0] == "block"


def test_a_corrected_day_comes_back_into_the_history_of_those_after_it_alone(world: World) -> None:
    for day in DAYS:
        world.deliver(day, 1.609 if day == DAYS[4] else 1.0)
    assert world.verdicts()[DAYS[4]][0] == "block"
    assert world.verdicts()[DAYS[5]][1] == DAYS[:4]

    world.deliver(DAYS[4])

    assert world.verdicts()[DAYS[4]] == ("pass", DAYS[:4])
    assert world.verdicts()[DAYS[5]] == ("pass", DAYS[1:5])
    assert world.verdicts()[DAYS[3]] == ("pass", DAYS[:3])
    assert world.behind() == []


def test_what_a_person_found_right_is_history_and_others_are_judged_by_it(world: World) -> None:
    for day in DAYS:
        world.deliver(day, 1.609 if day == DAYS[4] else 1.0)
    acknowledge(world.tables, PIPELINE, DAYS[4], "miles now", actor="ann", at=AT)
    assert world.behind() == DAYS[5:], "they were held against another history"

    (first, *_) = world.judge(DAYS[4])

    assert (first.judgement.verdict, first.acknowledged, first.is_news) == ("block", "ann: miles now", False)
    assert DAYS[4] in world.verdicts()[DAYS[5]][1]
    assert world.behind() == []


def test_statistics_of_a_day_that_only_waits_for_its_verdict_are_not_written_again(world: World) -> None:
    for day in DAYS[:5]:
        world.deliver(day)
    version = world.tables.lakehouse.version("eta/summary")

    world.judge(*DAYS[:5])

    assert world.tables.lakehouse.version("eta/summary") == version


def test_a_summary_that_another_run_has_written_meanwhile_keeps_its_record(world: World) -> None:
    for day in DAYS[:4]:
        world.deliver(day)
    judging = Judging(world.tables, PIPELINE, asked=[DAYS[3]])
    standing = world.tables.standing(PIPELINE)
    accepted = world.tables.history(PIPELINE, "accepted")[DAYS[3]][1]
    other = summarize_partitions(rows_of(DAYS[3], 1.609, 1), PIPELINE)
    world.tables.save(PIPELINE, TABLE, other, {DAYS[3]: unjudged(standing, accepted)}, at=AT)
    written = world.tables.records(PIPELINE, TABLE)[DAYS[3]]

    judging.judge(judging.keys, at=AT)

    assert world.tables.records(PIPELINE, TABLE)[DAYS[3]] == written
