"""The summary asset judges every partition of a range, in at most two events each, and reads its history once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from cli.status import show_outdated
from perennial.graph.lineage import digest
from perennial.graph.records import PartitionRecord
from perennial.stores.lake.acknowledgements import acknowledge
from perennial.stores.lake.summaries import TABLE
from perennial.validation.seasons.lineage import BEFORE
from resources.runs import RunResult
from tests.assets.house import House, copy_of, open_house, simulate_days

RANGE = ("2024-01-01", "2024-01-22")
BROKEN, MOVED = "2024-01-18", "2024-01-20"
CHECK = "resembles_its_history"
NOW = datetime(2024, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, RunResult]]:
    """Three weeks, one day of which is told in miles and one of which is far from home."""
    root = tmp_path_factory.mktemp("judged") / "home"
    simulate_days(root, *RANGE)
    with open_house(root) as house:
        house.rewrite(BROKEN, pl.col("distance_km") * 1.609)
        house.rewrite(MOVED, pl.col("distance_km") + 2.0)
        assert house.run("landed", "accepted", "quarantined", keys=RANGE).success
        yield house, house.run(TABLE, keys=RANGE)


def test_each_partition_has_a_verdict_and_the_run_goes_on(judged: tuple[House, RunResult]) -> None:
    house, result = judged

    verdicts = {key: r.provenance["verdict"] for key, r in house.tables.records(house.pipeline, TABLE).items()}

    assert result.success
    assert len(verdicts) == 22
    assert verdicts[BROKEN] == "block"
    assert verdicts[MOVED] == "retrain"
    assert list(verdicts.values()).count("pass") >= 19


def test_the_check_warns_or_fails_and_blocks_nothing_in_the_run(judged: tuple[House, RunResult]) -> None:
    house, result = judged

    found = house.evaluations(TABLE, CHECK, result.run_id)

    assert len(found) == 22
    assert (found[BROKEN].passed, found[BROKEN].severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert (found[MOVED].passed, found[MOVED].severity) == (False, dg.AssetCheckSeverity.WARN)
    assert not any(evaluation.blocking for evaluation in found.values())
    assert "distance_km" in str(found[BROKEN].description)
    assert "distance_km" in str(found[BROKEN].metadata["culprits"].value)


def test_a_blocked_partition_shows_a_picture_and_is_no_history_of_those_after_it(
    judged: tuple[House, RunResult],
) -> None:
    house, result = judged
    events = house.instance.fetch_materializations(house.key(TABLE), limit=100).records
    shown = {r.partition_key: r.asset_materialization.metadata for r in events if r.asset_materialization}

    assert "data:image/png" in str(shown[BROKEN]["picture"].value)
    checked = house.evaluations(TABLE, CHECK, result.run_id)
    assert [key for key in checked if "picture" in checked[key].metadata] == [BROKEN]
    history = house.tables.records(house.pipeline, TABLE)["2024-01-22"].provenance["history"]
    assert BROKEN not in history
    assert MOVED in history


def test_the_status_says_what_its_history_keeps_out_of_training_and_what_to_do(judged: tuple[House, RunResult]) -> None:
    house, _ = judged
    printed = StringIO()

    show_outdated(house.pipeline, house.tables, Console(width=300, file=printed), now=NOW)

    told = printed.getvalue()
    assert "no training reads it: summary blocks it: units: distance_km" in told
    assert f"perennial acknowledge delivery_eta {BROKEN} --why" in told
    assert MOVED not in told


def test_a_day_judged_by_itself_later_gets_the_same_verdict_and_no_new_revision(
    judged: tuple[House, RunResult],
) -> None:
    house, _ = judged
    before = house.tables.records(house.pipeline, TABLE)

    assert house.run(TABLE, keys="2024-01-20").success

    after = house.tables.records(house.pipeline, TABLE)
    assert after["2024-01-20"].provenance == before["2024-01-20"].provenance
    assert {key: (r.revision, r.content_hash) for key, r in after.items()} == {
        key: (r.revision, r.content_hash) for key, r in before.items()
    }


def test_a_corrected_day_is_judged_with_those_after_it_whose_history_it_is(
    judged: tuple[House, RunResult], tmp_path: Path
) -> None:
    with copy_of(judged[0].home.root, tmp_path / "home") as house:
        house.rewrite(BROKEN, pl.col("distance_km") / 1.609)
        before = house.tables.records(house.pipeline, TABLE)

        result = house.run("landed", "accepted", "quarantined", TABLE, keys=BROKEN)

        assert result.success
        after = house.tables.records(house.pipeline, TABLE)
        assert after[BROKEN].provenance["verdict"] == "pass"
        assert [key for key in after if BROKEN in after[key].provenance["history"]] == [k for k in after if k > BROKEN]
        news = [key for key in after if key == BROKEN or _verdict(after[key]) != _verdict(before[key])]
        assert house.materialized(TABLE, result.run_id) == news
        assert {key: after[key].table_version for key in after if key != BROKEN} == {
            key: before[key].table_version for key in after if key != BROKEN
        }
        standing = house.tables.standing(house.pipeline)
        assert [key for key in after if standing.problem_with(TABLE, key)] == []
        (said,) = house.evaluations(TABLE, "is_up_to_date", result.run_id).values()
        assert said.passed


def test_a_day_that_a_person_found_right_passes_its_check_and_is_history(
    judged: tuple[House, RunResult], tmp_path: Path
) -> None:
    with copy_of(judged[0].home.root, tmp_path / "home") as house:
        acknowledge(house.tables, house.pipeline, BROKEN, "miles now", actor="ann", at=NOW)
        standing = house.tables.standing(house.pipeline)
        assert standing.problem_with(TABLE, "2024-01-19") == "summary is out of date: summaries before it have changed"

        result = house.run(TABLE, keys=BROKEN)

        found = house.evaluations(TABLE, CHECK, result.run_id)[BROKEN]
        assert found.passed
        assert str(found.description).startswith("found right by ann: miles now; units: distance_km")
        records = house.tables.records(house.pipeline, TABLE)
        assert BROKEN in records["2024-01-19"].provenance["history"]
        assert records[BROKEN].provenance["verdict"] == "block"
        assert house.tables.standing(house.pipeline).problem_with(TABLE, "2024-01-22") is None


def _verdict(record: PartitionRecord) -> str:
    return str(record.provenance["verdict"])


def test_a_past_revision_is_summarized_by_its_own_rows_and_judged_by_the_newest_of_others(tmp_path: Path) -> None:
    ends = ("2024-01-01", "2024-01-02")
    with open_house(tmp_path / "home") as house:
        simulate_days(tmp_path / "home", *ends)
        assert house.run("landed", "accepted", "quarantined", keys=ends).success
        for spoiled, changed in ((9, ends), (19, ends[1:])):
            nowhere = pl.when(pl.int_range(pl.len()) < spoiled).then(-1.0).otherwise("distance_km")
            for day in changed:
                house.rewrite(day, nowhere.alias("distance_km"))
            assert house.run("landed", "accepted", "quarantined", keys=ends).success

        assert house.run("summary", keys=ends).success

        history, lost = (house.tables.history(house.pipeline, name) for name in ("summary", "quarantined"))
        assert {key: sorted(records) for key, records in history.items()} == {ends[0]: [1, 2], ends[1]: [1, 2, 3]}
        assert lost[ends[1]][1].rows < lost[ends[1]][2].rows < lost[ends[1]][3].rows
        assert [refused(house, ends[1], number) for number in (1, 2, 3)] == pytest.approx(
            [lost[ends[1]][number].rows for number in (1, 2, 3)]
        )
        assert [history[ends[1]][number].inputs[BEFORE] for number in (1, 2, 3)] == [
            digest({ends[0]: history[ends[0]][2].content_hash})
        ] * 3


def refused(house: House, key: str, number: int) -> float:
    """How many rows the summary of a revision says were quarantined."""
    said = house.tables.read(house.pipeline, "summary", {key: number}).filter(pl.col("statistic") == "quarantined")
    return float((said["value"] * said["count"]).sum())
