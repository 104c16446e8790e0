"""Offline: Feast's files say who has left, whatever came first and whatever may not be read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from perennial import Pipeline, Rolling, col
from perennial.errors import PerennialError
from perennial.featurization.states import state_schema
from perennial.featurization.views import FeatureView, feature_views
from perennial.settings import home_at
from perennial.stores.lake.tables import Outcome, Tables
from perennial.stores.online.feature_store import FeatureStore
from perennial.stores.online.offline import OFFLINE, save_offline
from perennial.stores.operations import database
from tests.lake import AT, open_tables
from tests.perennial.featurization.timelines import RIDES

PIPELINE = replace(RIDES, aggregates=[Rolling(by="line", how="count", days=1)])
(VIEW,) = feature_views(PIPELINE)
DAYS = ["2024-03-28", "2024-03-29", "2024-03-30", "2024-03-31"]
LINES = ["bus", "tram", "ferry"]

Counts = Mapping[str, Mapping[str, float]]
"""By day: the lines that have a value at its end."""


@contextmanager
def opened(root: Path) -> Iterator[tuple[Tables, FeatureStore]]:
    home, tables = home_at(root), open_tables(root)
    yield tables, FeatureStore(root=home.feature_store, online_url=home.online_store)
    tables.operations.close()


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Tables, FeatureStore]]:
    with opened(tmp_path) as stores:
        yield stores


def make(tables: Tables, counts: Counts, pipeline: Pipeline = PIPELINE) -> None:
    """Write the aggregates of these days."""
    (view,) = feature_views(pipeline)
    (name,) = view.features
    rows = [
        {"partition": day, "known_at": pipeline.time.known_at(day), "by": "line", "line": line, name: value}
        for day, lines in counts.items()
        for line, value in lines.items()
    ]
    outcomes = {day: Outcome(revision=1) for day in counts}
    tables.save(pipeline, "aggregates", pl.DataFrame(rows, schema=state_schema(pipeline)), outcomes, at=AT)


def seen(store: FeatureStore, view: FeatureView = VIEW) -> Counts:
    """By day of which there is a file: the lines that have a value once its end is known, by the last row of each."""
    days = store.offline_partitions(view)
    rows = pl.concat([store.read_offline(view, day) for day in days])
    assert not rows.select("line", "known_at").is_duplicated().any()
    (name,) = view.features
    found = {}
    for day in days:
        known = rows.filter(pl.col("known_at") <= PIPELINE.time.known_at(day)).sort("known_at")
        found[day] = dict(known.unique("line", keep="last").drop_nulls().select("line", name).rows())
    return found


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(DAYS), st.dictionaries(st.sampled_from(LINES), st.floats(1, 9, width=32)), min_size=1
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=25)
def test_the_last_row_says_what_stands_whichever_days_came_last_or_again(runs: list[Counts]) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as (tables, store):
        for counts in runs:
            make(tables, counts)
            save_offline(tables, store, PIPELINE, list(counts))

        stands = {day: lines for counts in runs for day, lines in counts.items()}
        assert seen(store) == stands
        again = replace(store, root=store.root / "again")
        save_offline(tables, again, PIPELINE, list(stands))
        for day in stands:
            assert_frame_equal(store.read_offline(VIEW, day), again.read_offline(VIEW, day))


def test_a_day_that_may_not_be_read_any_more_is_still_left(stores: tuple[Tables, FeatureStore]) -> None:
    """Its file stands, and Feast shows what it holds until the next end."""
    tables, store = stores
    counts: Counts = {DAYS[0]: {"bus": 1.0}, DAYS[1]: {"bus": 2.0, "ferry": 5.0}, DAYS[2]: {"bus": 3.0}}
    make(tables, counts)
    save_offline(tables, store, PIPELINE, [*counts])
    tables.block(PIPELINE, "aggregates", DAYS[1], Outcome(blocked="partials are out of date", revision=1), at=AT)

    for day in DAYS:
        save_offline(tables, store, PIPELINE, [day])

        assert seen(store) == counts


def test_a_day_without_a_file_is_left_by_nobody(stores: tuple[Tables, FeatureStore]) -> None:
    tables, store = stores
    make(tables, {DAYS[0]: {"bus": 1.0}, DAYS[1]: {"ferry": 5.0}, DAYS[2]: {"tram": 3.0}})

    for day in (DAYS[0], DAYS[2]):
        save_offline(tables, store, PIPELINE, [day])

    assert seen(store) == {DAYS[0]: {"bus": 1.0}, DAYS[2]: {"tram": 3.0}}
    assert set(store.read_offline(VIEW, DAYS[2])["line"]) == {"bus", "tram"}


def test_features_in_another_order_are_the_same_view(stores: tuple[Tables, FeatureStore]) -> None:
    tables, store = stores
    both = [Rolling(by="line", how="count", days=days, name=f"count_{days}") for days in (1, 2)]
    one, other = replace(RIDES, aggregates=both), replace(RIDES, aggregates=both[::-1])
    (view,) = feature_views(one)
    for pipeline in (one, other):
        rows = [
            {"partition": day, "known_at": RIDES.time.known_at(day), "by": "line", "line": line, "count_1": 1.0}
            for day, line in ((DAYS[0], "bus"), (DAYS[1], "tram"))
        ]
        states = pl.DataFrame(rows, schema=state_schema(pipeline))
        tables.save(pipeline, "aggregates", states, {day: Outcome(revision=1) for day in DAYS[:2]}, at=AT)
        for day in DAYS[:2]:
            save_offline(tables, store, pipeline, [day])

    found = [store.read_offline(view, day).select("line", "count_1", "count_2").rows() for day in DAYS[:2]]
    assert found == [[("bus", 1.0, None)], [("bus", None, None), ("tram", 1.0, None)]]


def test_two_runs_at_once_write_one_after_the_other(
    stores: tuple[Tables, FeatureStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, store = stores
    make(tables, {DAYS[0]: {"bus": 1.0}})
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)

    with opened(tmp_path) as (others, _), others.operations.holding(PIPELINE.table(OFFLINE)):
        with pytest.raises(PerennialError, match="another process has been writing"):
            save_offline(tables, store, PIPELINE, [DAYS[0]])

        assert store.offline_partitions(VIEW) == []

    save_offline(tables, store, PIPELINE, [DAYS[0]])
    assert seen(store) == {DAYS[0]: {"bus": 1.0}}


def test_the_files_of_another_declaration_hold_nothing_of_the_one_before(stores: tuple[Tables, FeatureStore]) -> None:
    tables, store = stores
    load, tenfold = (
        replace(RIDES, aggregates=[Rolling(by="line", of=value.alias("loads"), how="sum", days=1, name="loaded")])
        for value in (col("load"), col("load") * 10)
    )
    (view,), (other,) = feature_views(load), feature_views(tenfold)
    make(tables, {DAYS[0]: {"bus": 1.0}, DAYS[1]: {"bus": 2.0, "tram": 2.0}}, load)
    save_offline(tables, store, load, DAYS[:2])
    make(tables, {DAYS[0]: {"bus": 10.0, "ferry": 10.0}}, tenfold)

    save_offline(tables, store, tenfold, DAYS[:1])

    assert seen(store, other) == {DAYS[0]: {"bus": 10.0, "ferry": 10.0}}
    assert seen(store, view) == {DAYS[0]: {"bus": 1.0}, DAYS[1]: {"bus": 2.0, "tram": 2.0}}
