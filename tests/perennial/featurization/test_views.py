"""Views: one for each entity, named and hashed by what decides the values, and by nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from perennial import Daily, Monthly, Rolling
from perennial.bundle.bundle import RequestSchema
from perennial.bundle.manifest import describe_requests
from perennial.errors import DeclarationError
from perennial.featurization.states import state_schema
from perennial.featurization.views import MOST_CHARACTERS, FeatureView, feature_views, stale_after, view_name
from tests.bundles import LOOKED_UP, small_pipeline

MEAN = Rolling(by="zone", of="label", how="mean", days=7)


def hashed(**changes: Any) -> str:
    """The hash of the mean under a changed declaration."""
    ((declared,),) = [view.features.values() for view in feature_views(replace(LOOKED_UP, **changes))]
    return declared


def test_each_entity_has_a_view_with_all_its_aggregates() -> None:
    pair = Rolling(by=("zone", "seats"), how="count", days=3)
    views = feature_views(replace(LOOKED_UP, aggregates=[MEAN, pair, Rolling(by="zone", how="count", days=1)]))

    assert [(view.name, list(view.by.items()), list(view.features)) for view in views] == [
        ("by_zone", [("zone", "string")], ["zone_mean_minutes_7d", "zone_count_1d"]),
        ("by_zone_and_seats", [("zone", "string"), ("seats", "int32")], ["zone_seats_count_3d"]),
    ]


def test_a_pipeline_without_aggregates_has_no_view_and_its_requests_no_lookup() -> None:
    assert feature_views(small_pipeline()) == ()
    assert "lookups" not in json.loads(describe_requests(small_pipeline()))


@pytest.mark.parametrize(
    "changes",
    [
        {"aggregates": [replace(MEAN, days=8)]},
        {"aggregates": [replace(MEAN, how="max")]},
        {"aggregates": [replace(MEAN, of=pl.col("distance"))]},
        {"time": replace(LOOKED_UP.time, known_after=timedelta(hours=1))},
        {"time": replace(LOOKED_UP.time, timezone="UTC")},
        {"time": Monthly(start="2024-01", event_time="at_door", timezone="Europe/Berlin")},
        {"label": replace(LOOKED_UP.label, value=pl.col("distance"))},
    ],
)
def test_another_meaning_has_another_hash(changes: dict[str, Any]) -> None:
    assert hashed(**{"aggregates": [MEAN], **changes}) != hashed(aggregates=[MEAN])


@pytest.mark.parametrize(
    "changes",
    [
        {"aggregates": [replace(MEAN, default=3.0)]},
        {"aggregates": [replace(MEAN, name="mean")]},
        {"time": Daily(start="2023-01-01", event_time="at_door", timezone="Europe/Berlin")},
        {"seed": 7},
    ],
)
def test_the_same_meaning_has_the_same_hash(changes: dict[str, Any]) -> None:
    assert hashed(**{"aggregates": [MEAN], **changes}) == hashed(aggregates=[MEAN])


def test_the_name_of_many_columns_is_short_and_its_own() -> None:
    long = [f"a_rather_long_column_{number}" for number in range(4)]

    assert len(view_name(long)) <= MOST_CHARACTERS
    assert view_name(long) != view_name([*long[:3], "another"])


def test_a_float_names_no_entity() -> None:
    with pytest.raises(DeclarationError, match="cannot name an entity"):
        FeatureView(pipeline="rides", by={"distance": "float64"}, features={})


def test_a_view_takes_its_own_rows_of_the_table_of_all_entities() -> None:
    (view,) = feature_views(LOOKED_UP)
    row = {"partition": "2024-01-01", "known_at": None, "zone": "north", "zone_mean_7d": 1.0, "zone_count_7d": None}
    states = pl.DataFrame([row | {"by": by} for by in ("zone", "zone+seats")], schema=state_schema(LOOKED_UP))

    assert view.rows(states, LOOKED_UP).to_dicts() == [
        {"zone": "north", "zone_mean_7d": 1.0, "zone_count_7d": None, "known_at": None}
    ]
    assert view.rows(None, LOOKED_UP).is_empty()


def test_who_has_left_is_said_once_and_who_had_left_before_not_again() -> None:
    (view,) = feature_views(LOOKED_UP)
    first, later, following = (datetime(2024, 1, day, tzinfo=UTC) for day in (2, 3, 4))

    def rows(*values: tuple[str, float | None, datetime]) -> pl.DataFrame:
        columns = ("zone", "zone_mean_7d", "known_at")
        known = [dict(zip(columns, row, strict=True)) | {"partition": "", "by": "zone"} for row in values]
        return view.rows(pl.DataFrame(known, schema=state_schema(LOOKED_UP)), LOOKED_UP)

    before = rows(
        ("north", 1.0, first), ("east", 1.0, first), ("south", 1.0, first),
        ("north", 2.0, later), ("east", None, later), ("south", 3.0, later), ("west", 4.0, later),
    )  # fmt: skip
    states = rows(("south", 5.0, following), ("west", 6.0, following + timedelta(hours=1)))

    left = view.departures(before, states, following)

    assert left.schema == before.schema
    assert left.select("zone", "zone_mean_7d", "known_at").rows() == [
        ("north", None, following),
        ("west", None, following),
    ]
    assert view.departures(before.clear(), states, following).is_empty()
    assert view.without_departures(pl.concat([states, left]), following).equals(states)
    assert view.without_departures(before, first).equals(before), "a correction took `east` out"


def test_two_partitions_are_how_long_a_value_may_be_seen() -> None:
    assert stale_after(LOOKED_UP) == timedelta(days=2)
    monthly = replace(LOOKED_UP, time=Monthly(start="2024-01", event_time="at_door", timezone="UTC"))
    assert stale_after(monthly) == timedelta(days=62)


def test_the_lookups_of_a_bundle_come_back_from_its_schema() -> None:
    schema = RequestSchema.from_json(describe_requests(LOOKED_UP))

    (view,) = feature_views(LOOKED_UP)
    assert [(one.name, one.by, one.view, one.default) for one in schema.lookups] == [
        ("zone_mean_7d", ("zone",), "by_zone", None), ("zone_count_7d", ("zone",), "by_zone", 0.5),
    ]  # fmt: skip
    assert {one.name: one.declared for one in schema.lookups} == view.features
    assert not {one.name for one in schema.lookups} & {column.name for column in schema.columns}
