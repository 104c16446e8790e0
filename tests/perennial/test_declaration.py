"""Declaration: a wrong field fails when it is loaded, and the hash sees every field."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import (
    Better,
    Column,
    Daily,
    Files,
    Gates,
    GradientBoosting,
    Hourly,
    KofN,
    Label,
    Late,
    LeakageAudit,
    Linear,
    Lookup,
    Maturity,
    Median,
    Monitoring,
    NotWorse,
    Pipeline,
    Retraining,
    Rolling,
    Rules,
    Schema,
    Seasons,
    Slice,
    Timeline,
    Windows,
    col,
    env,
    expect,
)
from perennial.consistency import LAKE_COLUMNS
from perennial.errors import DeclarationError
from pipelines.delivery_eta import delivery_eta
from pipelines.taxi_eta import taxi_eta

DECLARED = delivery_eta
DAY: dict[str, Any] = {"start": "2024-01-01", "event_time": "ordered_at", "timezone": "Europe/Berlin"}
DAY_LONG = timedelta(days=1)
WORD: Any = "high"
COLUMNS = dict(DECLARED.schema.columns)

WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    ("name", {"name": "Delivery-ETA"}, ["'name'", "'Delivery-ETA'", "lower-case letters"]),
    ("name", {"name": "../eta"}, ["'name'", "'../eta'"]),
    ("owner", {"owner": "us"}, ["'owner'", "'us'", "team:NAME"]),
    ("start", {"time": Daily(**{**DAY, "start": "2024-1-1"})}, ["'time'", "2024-1-1", "%Y-%m-%d"]),
    ("timezone", {"time": Daily(**{**DAY, "timezone": "Europe/Bonn"})}, ["'time'", "Europe/Bonn", "timezone"]),
    ("end", {"time": Daily(**DAY, end="2024-02-30")}, ["'time'", "2024-02-30"]),
    ("event time", {"time": Daily(**{**DAY, "event_time": "at"})}, ["'time.event_time'", "'at'", "declared column"]),
    ("kind", {"time": Daily(**{**DAY, "event_time": "zone"})}, ["zone of kind string", "kind datetime"]),
    ("key", {"key": ["id"]}, ["'key'", "'id'", "declared column"]),
    ("no key", {"key": []}, ["'key'", "at least one column"]),
    ("label", {"label": Label("x", value=col("tip"), known_at="delivered_at")}, ["'label.value'", "'tip'"]),
    ("known at", {"label": Label("x", value=col("items"), known_at="paid_at")}, ["'label.known_at'", "'paid_at'"]),
    ("known", {"label": Label("x", value=col("items"), known_at="zone")}, ["zone of kind string", "kind datetime"]),
    ("source", {"label": replace(DECLARED.label, source=col("tip"))}, ["'label.source'", "'tip'", "a declared column"]),
    ("nobody", {"label": replace(DECLARED.label, source="")}, ["'label.source'", "''", "who or what says so"]),
    ("certain", {"label": replace(DECLARED.label, confidence=1.5)}, ["'label.confidence'", "1.5", "0 <= confidence"]),
    ("odd", {"label": replace(DECLARED.label, confidence=math.nan)}, ["'label.confidence'", "nan"]),
    ("sworn", {"label": replace(DECLARED.label, confidence=WORD)}, ["'label.confidence'", "high", "<= 1"]),
    (
        "unsure",
        {"label": replace(DECLARED.label, confidence=0.5, min_confidence=0.8)},
        ["'label.min_confidence'", "0.5"],
    ),
    ("choosy", {"label": replace(DECLARED.label, min_confidence=-1)}, ["'label.min_confidence'", "-1", "<= 1"]),
    (
        "confidence over rows",
        {"label": replace(DECLARED.label, confidence=col("items") / col("items").max())},
        ["'label.confidence'", "an aggregate is not allowed"],
    ),
    ("expectations", {"expectations": [expect.not_null("tip")]}, ["'expectations'", "'tip'"]),
    ("slice", {"slices": [Slice(name="s", where=col("tip") > 1, limit=1)]}, ["'slices[s]'", "'tip'"]),
    ("slices", {"slices": [Slice(name="s", where=col("items") > 1, limit=1)] * 2}, ["'slices'", "names of their own"]),
    ("watched", {"monitoring": Monitoring(columns=("tip",))}, ["'monitoring.columns'", "'tip'"]),
    ("not read", {"monitoring": Monitoring(columns=("order_id",))}, ["'order_id'", "columns that features read"]),
    ("no feature", {"features": []}, ["'features'", "at least one expression"]),
    ("late", {"features": [col("delivered_at").dt.hour().alias("h")]}, ["'features'", "'delivered_at'", "stands_in"]),
    ("taken", {"features": [col("items").alias("label")]}, ["'features'", "'label'", "name other than"]),
    ("key taken", {"features": [col("items").cast(str).alias("order_id")]}, ["'features'", "'order_id'"]),
    ("unknown", {"features": [col("tip")]}, ["'features'", "'tip'", "tip"]),
    ("windows", {"windows": Windows(train=0)}, ["'windows.train'", "0", "at least 1 partition"]),
    ("too long", {"windows": Windows(train=5_000)}, ["'windows'", "5002", "at most the partitions from 2024-01-01"]),
    ("none", {"candidates": []}, ["'candidates'", "at least one"]),
    ("twice", {"candidates": [Linear(), Linear()]}, ["'candidates'", "a name of its own"]),
    ("no baseline", {"candidates": [GradientBoosting()]}, ["'candidates'", "at least one baseline"]),
    ("keep", {"candidates": [Linear(keep=0)]}, ["'candidates[linear].keep'", "found 0", "expected 1 to "]),
    (
        "too many",
        {"candidates": [Linear(), GradientBoosting(keep=99)]},
        ["'candidates[gradient_boosting].keep'", "found 99", "the features that it does not ignore"],
    ),
    ("by", {"candidates": [Median(by="tip")]}, ["'candidates[median]'", "'tip'", "a feature"]),
    ("drift", {"retraining": replace(DECLARED.retraining, drift=KofN(k=3, n=2))}, ["'retraining.drift'", "1 <= k"]),
    ("no drift", {"retraining": replace(DECLARED.retraining, drift=KofN(k=0, n=0))}, ["'retraining.drift'", "1 <= k"]),
    ("no labels", {"retraining": Retraining(new_labels=0.0)}, ["'retraining.new_labels'", "0.0", "new_labels > 0"]),
    ("sure", {"gates": Gates(baselines=Better(confidence=1.0))}, ["'gates.baselines.confidence'", "1.0", "< 1"]),
    ("unsure", {"gates": Gates(champion=NotWorse(confidence=0.0))}, ["'gates.champion.confidence'", "0.0", "0 <"]),
    ("no number", {"gates": Gates(champion=NotWorse(confidence=math.nan))}, ["'gates.champion.confidence'", "nan"]),
    ("margin", {"gates": Gates(champion=NotWorse(margin=-0.1))}, ["'gates.champion.margin'", "-0.1", "margin >= 0"]),
    ("short history", {"seasons": Seasons(min_history=2)}, ["'seasons.min_history'", "2", "at least 3"]),
    ("longer than all", {"seasons": Seasons(history=7, min_history=14)}, ["'seasons.min_history'", "at most history"]),
    ("ignored", {"seasons": Seasons(ignore=("tip",))}, ["'seasons.ignore'", "'tip'"]),
    ("sure", {"seasons": Seasons(false_alarms=0.0)}, ["'seasons.false_alarms'", "0.0"]),
    ("threshold", {"monitoring": Monitoring(drift_threshold=0.0)}, ["'monitoring.drift_threshold'", "0.0", "> 0"]),
    (
        "half mature",
        {"label": replace(DECLARED.label, mature_after=Maturity(completeness=0.0))},
        ["'label.mature_after.completeness'", "0.0", "0 < completeness <= 1"],
    ),
    (
        "mature before",
        {"label": replace(DECLARED.label, mature_after=timedelta(days=-1))},
        ["'label.mature_after'", "a span after the partition's end"],
    ),
    ("limit", {"slices": [Slice(name="s", where=col("items") > 1, limit=0)]}, ["'slices[s].limit'", "0", "limit > 0"]),
    (
        "slice over rows",
        {"slices": [Slice(name="s", where=col("items") > col("items").mean(), limit=1)]},
        ["'slices[s]'", "an aggregate is not allowed", "one row only"],
    ),
    (
        "label over rows",
        {"label": Label("x", value=col("items") - col("items").mean(), known_at="delivered_at"), "aggregates": ()},
        ["'label.value'", "an aggregate is not allowed", "one row only"],
    ),
    ("known in words", {"time": Daily(**DAY, row_known_at="zone")}, ["'time.row_known_at'", "zone of kind string"]),
    ("known before", {"time": Daily(**DAY, known_after=-DAY_LONG)}, ["'time.known_after'", "-1 day", "0 or more"]),
    ("early", {"late": Late(accept_for=-DAY_LONG)}, ["'late.accept_for'", "-1 day", "0 or more"]),
    ("foretold", {"label": replace(DECLARED.label, delay=-DAY_LONG)}, ["'label.delay'", "-1 day", "0 or more"]),
    ("power", {"leakage": LeakageAudit(power=1.5)}, ["'leakage.power'", "1.5", "0 <= power <= 1"]),
    ("missing", {"leakage": LeakageAudit(missing=-0.1)}, ["'leakage.missing'", "-0.1"]),
    ("purity", {"leakage": LeakageAudit(purity=math.nan)}, ["'leakage.purity'", "nan"]),
    ("changed", {"leakage": LeakageAudit(changed=2)}, ["'leakage.changed'", "2"]),
    ("expected", {"leakage": LeakageAudit(expected=0)}, ["'leakage.expected'", "0", "expected >= 1"]),
    ("rows", {"leakage": LeakageAudit(rows=0)}, ["'leakage.rows'", "0", "rows >= 1"]),
    (
        "one column of two kinds",
        {"schema": Schema({**COLUMNS, "zone_number": Column("int64", source="zone")})},
        [
            "'schema[zone_number]'",
            "int64 of the source's column 'zone'",
            "string, as which 'zone' reads it",
            "cast(int)",
        ],
    ),
    *(
        (name, {"schema": Schema({**COLUMNS, name: Column("string")})}, ["'schema'", repr(name), "the lake uses"])
        for name in LAKE_COLUMNS
    ),
]


@pytest.mark.parametrize(("changes", "words"), [pytest.param(c, w, id=name) for name, c, w in WRONG])
def test_a_wrong_field_fails_at_load_and_names_pipeline_field_value_and_what_was_expected(
    changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(DeclarationError) as caught:
        replace(DECLARED, **changes)

    name = changes.get("name", "delivery_eta")
    for word in [f"pipeline {name!r}", *words]:
        assert word in str(caught.value)
    assert caught.value.expected


@pytest.mark.parametrize(
    ("feature", "problem"),
    [
        (col("items") - col("items").mean(), "an aggregate is not allowed"),
        (col("items").sum().over("zone"), "not allowed"),
        (col("items").map_elements(hash, return_dtype=pl.Int64), "a Python function is not allowed"),
        (col("zone").cast(pl.Categorical).to_physical(), "not allowed"),
        (col("items").shift(1), "not allowed"),
        (col("items").rank(), "not allowed"),
    ],
)
def test_a_feature_that_looks_beyond_its_row_is_refused_at_load(feature: pl.Expr, problem: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        replace(DECLARED, features=[feature.alias("odd")])

    for word in ("pipeline 'delivery_eta': feature 'odd'", "field 'features'", problem, "one row only"):
        assert word in str(caught.value)


def test_the_shipped_pipelines_load_and_equal_declarations_have_equal_hashes() -> None:
    for pipeline in (delivery_eta, taxi_eta):
        assert replace(pipeline).hash == pipeline.hash
        assert replace(pipeline, key=tuple(pipeline.key)).hash == pipeline.hash
    assert delivery_eta.hash != taxi_eta.hash


OTHER: dict[str, Any] = {
    "name": "dinner_eta",
    "owner": "someone@example.org",
    "description": "Another.",
    "objective": replace(DECLARED.objective, goal=4.5),
    "source": Files("{root}/{partition:%Y-%m-%d}.parquet", root=env("ELSEWHERE")),
    "time": replace(DECLARED.time, known_after=timedelta(hours=3)),
    "key": ["order_id", "delivered_at"],
    "schema": Schema({**COLUMNS, "tip": Column("float64")}),
    "features": [*DECLARED.features, (col("items") + 1).alias("more")],
    "label": replace(DECLARED.label, delay=timedelta(minutes=1)),
    "candidates": [Median(by="restaurant"), Linear(), GradientBoosting(learning_rate=0.2)],
    "windows": Windows(train=29, validation=7, test=7),
    "expectations": [expect.between("items", 1, 51)],
    "gates": Gates(baselines=Better(confidence=0.9)),
    "slices": [replace(DECLARED.slices[0], where=col("items") > 1), *DECLARED.slices[1:]],
    "monitoring": Monitoring(drift_threshold=0.3),
    "seasons": Seasons(ignore=("distance_km",)),
    "retraining": replace(DECLARED.retraining, cooldown=timedelta(days=8)),
    "lookups": [
        Lookup(name="areas", source=Files("{root}/areas.csv"), key="zone", on="zone", columns={"area": "float64"}),
    ],
    "timelines": [
        Timeline(
            name="station",
            source=Files("{root}/station.csv"),
            event_time="at",
            known_after=timedelta(0),
            within=timedelta(hours=1),
            columns={"celsius": "float64"},
        )
    ],
    "late": Late(accept_for=timedelta(days=2)),
    "leakage": replace(DECLARED.leakage, power=0.5),
    "aggregates": [Rolling(by="restaurant", of="items", how="sum", days=7)],
    "rules": Rules(barred=("gender",)),
    "seed": 1,
}


@pytest.mark.parametrize("field", [field.name for field in fields(Pipeline)])
def test_the_hash_changes_with_any_field(field: str) -> None:
    changed = replace(DECLARED, **{field: OTHER[field]})

    assert changed.hash != DECLARED.hash
    assert changed.part_hash(field) != DECLARED.part_hash(field)
    assert replace(changed, **{field: getattr(DECLARED, field)}).hash == DECLARED.hash


PARTS = st.fixed_dictionaries(
    {},
    optional={
        "windows": st.builds(Windows, train=st.integers(1, 40), validation=st.integers(1, 9), test=st.integers(1, 9)),
        "monitoring": st.builds(Monitoring, drift_threshold=st.floats(0.01, 1), min_rows=st.integers(1, 500)),
        "seed": st.integers(0, 5),
        "description": st.text(max_size=5),
        "slices": st.lists(
            st.builds(
                lambda name, limit, low: Slice(name=name, where=col("items") > low, limit=limit),
                st.sampled_from("abc"),
                st.floats(0.5, 9),
                st.integers(0, 3),
            ),
            max_size=2,
            unique_by=lambda part: part.name,
        ),
    },
)


@given(first=PARTS, second=PARTS)
def test_hashes_are_equal_exactly_when_declarations_are(first: dict[str, Any], second: dict[str, Any]) -> None:
    ours, theirs = replace(DECLARED, **first), replace(DECLARED, **second)

    assert (ours.hash == theirs.hash) == (_words(ours) == _words(theirs))


def _words(pipeline: Pipeline) -> list[str]:
    slices = [(part.name, part.where.meta.serialize(format="json"), part.limit) for part in pipeline.slices]
    return [repr(part) for part in (pipeline.windows, pipeline.monitoring, pipeline.seed, pipeline.description, slices)]


def test_a_request_carries_the_event_time_and_what_features_read() -> None:
    assert DECLARED.request_columns[0] == "ordered_at"
    rolling = {aggregate.name for aggregate in DECLARED.checked_aggregates}
    assert set(DECLARED.request_columns) == (set(COLUMNS) | rolling) - {"order_id", "delivered_at"}
    assert "dropoff_at" not in taxi_eta.request_columns


def test_drift_watches_what_features_read_unless_declared() -> None:
    declared = set(taxi_eta.request_columns) & set(taxi_eta.schema.names)
    assert set(taxi_eta.drift_columns) == declared - {"pickup_at"}
    assert DECLARED.drift_columns == DECLARED.monitoring.columns


@pytest.mark.parametrize(
    ("every", "first", "last"), [("1h", "2023-12-31T23", "2025-12-31T22"), ("1mo", "2024-01", "2025-12")]
)
def test_the_monitoring_clock_covers_what_the_pipeline_covers(every: Any, first: str, last: str) -> None:
    clock = replace(DECLARED, monitoring=Monitoring(every=every)).monitoring_time

    assert (clock.start, clock.end, clock.timezone) == (first, last, "Europe/Berlin")
    assert isinstance(clock, Hourly) == (every == "1h")
