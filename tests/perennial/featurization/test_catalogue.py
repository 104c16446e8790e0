"""Catalogue: every feature is in it, with what it is made from, and the committed page is the one of now."""

from dataclasses import replace
from typing import Any

from perennial import Column, Linear, Median, col
from perennial.evaluation.importance import Worth
from perennial.featurization.catalogue import Entry, Serving, catalogue_of, page_of, rows_of
from perennial.policies import Rules
from perennial.settings import CLONE
from pipelines.discovery import discover
from tests.perennial.featurization.timelines import RIDES


def entry(name: str, **changes: Any) -> Entry:
    found = catalogue_of(replace(RIDES, **changes))
    return next(each for each in found if each.name == name)


def test_every_feature_has_one_entry_in_the_order_of_the_model() -> None:
    assert [each.name for each in catalogue_of(RIDES)] == [feature.name for feature in RIDES.checked_features]


def test_an_aggregate_names_its_window_its_default_and_the_columns_below() -> None:
    found = entry("zone_line_sum_load_1d")

    assert found.definition == "sum of load by zone, line, the last 1 days"
    assert (found.window, found.default, found.sources) == (1, -1.0, ("zone", "line", "load"))


def test_a_feature_over_an_aggregate_names_the_columns_below_the_aggregate() -> None:
    over = (col("load") - col("line_std_load_3d")).alias("surprise")

    assert entry("surprise", features=[*RIDES.features, over]).sources == ("load", "line")


def test_the_version_changes_with_the_definition_and_with_nothing_else() -> None:
    aggregates = list(RIDES.aggregates)
    longer = [replace(aggregates[2], days=2, name="zone_line_sum_load_1d"), *aggregates[3:]]

    assert entry("zone_line_sum_load_1d", owner="team:other").version == entry("zone_line_sum_load_1d").version
    assert entry("zone_line_sum_load_1d", aggregates=longer).version != entry("zone_line_sum_load_1d").version


def test_a_feature_has_its_own_owner_or_that_of_the_pipeline() -> None:
    owners = {"load": "ada@example.org"}

    assert entry("load", rules=Rules(feature_owners=owners)).owner == "ada@example.org"
    assert entry("zone", rules=Rules(feature_owners=owners)).owner == "team:tests"


def test_personal_data_is_named_also_where_an_aggregate_reads_it() -> None:
    tagged = replace(RIDES.schema, columns={**RIDES.schema.columns, "load": Column("float64", pii=True)})

    assert entry("line_min_load_2d", schema=tagged, rules=Rules(pii_in_features=True)).personal
    assert not entry("zone_count_2d", schema=tagged, rules=Rules(pii_in_features=True)).personal


def test_a_feature_names_the_candidates_that_see_it() -> None:
    candidates = [*RIDES.candidates, Median(by="zone")]

    assert entry("zone", candidates=candidates).used_by == ("linear", "median")
    assert entry("load", candidates=candidates).used_by == ("linear",)
    assert entry("load", candidates=[Linear(keep=1)]).used_by == ("linear (best 1)",)


def test_a_serving_version_shows_what_it_reads_what_that_is_worth_and_a_definition_that_was_another() -> None:
    entries = {each.name: each for each in catalogue_of(RIDES)}
    measured = [
        Worth(name="zone", version=entries["zone"].version, importance=1.25, microseconds=0.5),
        Worth(name="load", version="before", importance=0.5, microseconds=0.25),
        Worth(name="line_min_load_2d", version="", importance=None, microseconds=0.1),
    ]

    rows = {
        r["feature"]: r for r in rows_of(entries.values(), Serving(model="version 3", unit="mae", measured=measured))
    }

    assert (rows["zone"]["serves in"], rows["zone"]["importance [mae]"]) == ("version 3", "1.25")
    assert rows["load"]["serves in"] == "version 3 (another definition)"
    assert (rows["line_min_load_2d"]["serves in"], rows["line_min_load_2d"]["cost [µs a row]"]) == ("not used", "0.1")
    assert "serves in" not in next(rows_of(entries.values()))


def test_the_committed_page_is_what_the_command_writes_now() -> None:
    page = (CLONE / "docs" / "features.md").read_text(encoding="utf-8")

    assert page == page_of(discover().pipelines), "run `perennial catalogue --write`"
