"""Days in which nothing is wrong are hardly ever blocked, and gross faults always are."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import alarms
from benchmarks.faults import FAULTS
from benchmarks.stationary import CITY

GROSS = (
    "nulls", "unit change", "category unseen", "rows duplicated", "repeated from yesterday", "clock shifted",
    "stuck value", "volume truncated", "columns swapped", "outliers", "hours missing", "correlation broken",
)  # fmt: skip


def test_the_grid_has_five_sizes_of_each_of_at_least_twelve_faults() -> None:
    assert len(FAULTS) >= 12
    assert all(len(sizes) == 5 and list(sizes) == sorted(sizes) for _, sizes, _ in FAULTS.values())


def test_thresholds_were_set_on_other_seeds_than_those_that_are_reported() -> None:
    for world, seeds in alarms.EVALUATED_ON.items():
        assert set(seeds) & set(alarms.TUNED_ON[world]) == set()


@pytest.mark.slow
def test_a_short_life_is_quiet_and_its_gross_faults_are_blocked() -> None:
    lived = alarms.live(CITY, 101, 60)
    found = alarms.detection(lived, 1)

    assert alarms.quiet_rates([lived])["block"] <= 0.03
    assert [fault for fault in GROSS if not found[fault, FAULTS[fault][1][-1]]["block"]] == []


def test_the_tables_stand_where_the_page_shows_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{alarms.BEGIN}\nold\n{alarms.END}\nafter\n")

    alarms.refresh(page, "| new |\n")

    assert page.read_text() == f"before\n{alarms.BEGIN}\n| new |\n{alarms.END}\nafter\n"
