"""Maintenance: what may be forgotten is old, not needed, and never what a registered model names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import VersionHeld
from perennial.maintenance import (
    Done,
    Hold,
    Needs,
    Report,
    check_nothing_held_goes,
    files_by_slot,
    holds_of,
    orphans,
    outlived,
)

NOW = datetime(2024, 4, 1, tzinfo=UTC)
ages = st.dictionaries(st.text("abc", min_size=1), st.integers(0, 100).map(lambda days: NOW - timedelta(days=days)))


def needs(number: int, **versions: int) -> Needs:
    return Needs(number=number, as_of="2024-03", table_versions=versions)


def test_every_registered_model_holds_what_it_names_until_it_is_retired() -> None:
    models = [needs(1, features=3, labels=4), needs(2, features=7)]

    held = holds_of("eta", models, retired={2})

    assert held == [
        Hold(table="eta/features", version=3, holder="eta version 1 (as of 2024-03)"),
        Hold(table="eta/labels", version=4, holder="eta version 1 (as of 2024-03)"),
    ]


def test_a_model_that_says_nothing_stops_all_unless_it_is_retired() -> None:
    silent = Needs(number=3, as_of="2024-03", table_versions=None)

    with pytest.raises(VersionHeld, match=r"attributes of eta version 3 .as of 2024-03.*perennial retire eta 3"):
        holds_of("eta", [silent], retired=())
    assert holds_of("eta", [silent], retired={3}) == []


@given(
    st.dictionaries(st.integers(0, 5), st.sets(st.sampled_from("abcdef"))),
    st.sets(st.sampled_from("abcdef")),
)
def test_files_go_exactly_when_no_held_version_is_made_of_them(held: dict[int, set[str]], doomed: set[str]) -> None:
    holds = [Hold(table="t", version=version, holder=f"model {version}") for version in held]
    needed = set().union(*held.values())

    if doomed & needed:
        with pytest.raises(VersionHeld, match="is held by model"):
            check_nothing_held_goes("t", doomed, held, holds)
    else:
        check_nothing_held_goes("t", doomed, held, holds)


@given(ages, st.sets(st.text("abc", min_size=1)), st.integers(0, 100))
def test_an_orphan_is_old_and_nobody_needs_it(written: dict[str, datetime], needed: set[str], days: int) -> None:
    before = NOW - timedelta(days=days)

    found = orphans(written, needed, before=before)

    assert set(found) == {name for name, at in written.items() if name not in needed and at < before}
    assert found == sorted(found, key=written.__getitem__)


@given(ages)
def test_the_newest_page_never_goes(written: dict[str, datetime]) -> None:
    left = set(written) - set(outlived(written, before=NOW + timedelta(days=1)))

    assert len(left) == min(len(written), 1)
    assert all(written[name] == max(written.values()) for name in left)


def test_small_files_are_counted_where_they_lie() -> None:
    files = [("partition=a/revision=1/x", 10), ("partition=a/revision=1/y", 200), ("partition=a/revision=2/z", 10)]

    assert files_by_slot(files, small=100) == {"partition=a/revision=1": 1, "partition=a/revision=2": 1}


def test_reports_add_up() -> None:
    one = Report(done=[Done(kind="reports", where="a", items=1, size=10)], refused={"t": "busy"})
    other = Report(done=[Done(kind="runs", where="b", items=2, size=5)])

    assert (one + other).size == 15
    assert (one + other).refused == {"t": "busy"}
