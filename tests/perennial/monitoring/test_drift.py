from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.featurization.expressions import FeatureKind
from perennial.monitoring.drift import DriftReport, drift_kinds, drift_report, reference_sample, save_html
from perennial.schema import Column, Schema

KINDS: dict[str, FeatureKind] = {
    "distance": "number",
    "load": "number",
    "weather": "category",
    "restaurant": "category",
}
THRESHOLD = 0.2
RESTAURANTS = 120


def city_day(day: int, *, seed: int = 7, rows: int = 400, further: float = 0.0, storm: float = 0.0) -> pl.DataFrame:
    """A day of about `rows` orders with a weekly rhythm; `further` km and a share of `storm` are drift."""
    rng = np.random.default_rng([seed, day + 1000])
    weekend = day % 7 >= 5
    count = int(rng.poisson(rows * (1.3 if weekend else 1.0)))
    wet = 0.25 + 0.1 * np.sin(day) + storm
    return pl.DataFrame(
        {
            "distance": rng.gamma(3, 1 + 0.03 * weekend, count) + further,
            "load": rng.normal(10 + weekend * 0.5, 4, count),
            "weather": rng.choice(["dry", "wet", "snow"], count, p=[0.95 - wet, wet, 0.05]),
            "restaurant": [f"r{i}" for i in (rng.pareto(1.2, count) * 20).astype(int) % RESTAURANTS],
        }
    )


@pytest.fixture(scope="module")
def reference() -> pl.DataFrame:
    return reference_sample(pl.concat([city_day(day) for day in range(-42, 0)]), rows=5000, seed=1)


def judged(reference: pl.DataFrame, current: pl.DataFrame) -> DriftReport:
    return drift_report(reference, current, KINDS, threshold=THRESHOLD)


def test_no_alarm_on_thirty_undrifted_days_with_a_weekly_rhythm(reference: pl.DataFrame) -> None:
    reports = [judged(reference, city_day(day)) for day in range(30)]

    assert [report.reason for report in reports if report.drifted] == []
    assert all(report.drifted is not None for report in reports)


def test_an_alarm_on_each_of_ten_days_with_longer_ways(reference: pl.DataFrame) -> None:
    reports = [judged(reference, city_day(day, further=1.0)) for day in range(30, 40)]

    assert all(report.drifted for report in reports)
    assert {report.culprits for report in reports} == {("distance",)}


def test_an_alarm_on_each_of_ten_stormy_days(reference: pl.DataFrame) -> None:
    reports = [judged(reference, city_day(day, storm=0.4)) for day in range(30, 40)]

    assert {report.culprits for report in reports} == {("weather",)}


def test_many_categories_in_few_rows_are_beyond_the_threshold_by_chance_and_not_drifted() -> None:
    rng = np.random.default_rng(0)
    zones = [pl.DataFrame({"zone": rng.integers(0, 200, rows).astype(str)}) for rows in (5000, 400)]

    (zone,) = drift_report(zones[0], zones[1], {"zone": "category"}, threshold=THRESHOLD).columns

    assert zone.effect > THRESHOLD
    assert zone.chance == pytest.approx(zone.effect, abs=0.05)
    assert not zone.drifted


def test_effects_are_those_that_evidentlys_own_report_shows(reference: pl.DataFrame) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    current = city_day(3, further=0.4)
    definition = DataDefinition(numerical_columns=["distance", "load"], categorical_columns=["weather", "restaurant"])
    methods = {"number": "wasserstein", "category": "jensenshannon"}
    metrics = [ValueDrift(column=c, method=methods[kind], threshold=THRESHOLD) for c, kind in KINDS.items()]
    old, new = (Dataset.from_pandas(part.to_pandas(), data_definition=definition) for part in (reference, current))

    shown = [metric["value"] for metric in Report(metrics).run(new, old).dict()["metrics"]]

    assert [column.effect for column in judged(reference, current).columns] == pytest.approx(shown)


@pytest.mark.parametrize(
    ("change", "culprits"),
    [
        ({"distance": pl.lit(None)}, ("distance",)),
        ({"distance": pl.lit(float("nan"))}, ("distance",)),
        ({"distance": pl.lit(3.0)}, ("distance",)),
        ({"distance": pl.when(pl.int_range(pl.len()) % 2 == 0).then("distance")}, ("distance",)),
        ({"weather": pl.lit(None)}, ("weather",)),
        ({"weather": pl.lit("hail")}, ("weather",)),
    ],
    ids=["all null", "all NaN", "constant", "half null", "no category", "unseen category"],
)
def test_a_column_that_breaks_has_drifted_and_nothing_crashes(
    reference: pl.DataFrame, change: dict[str, pl.Expr], culprits: tuple[str, ...]
) -> None:
    assert judged(reference, city_day(1).with_columns(**change)).culprits == culprits


@pytest.mark.parametrize("value", [None, 5.0, float("nan")])
def test_a_column_that_is_alike_on_both_sides_has_not_drifted(reference: pl.DataFrame, value: float | None) -> None:
    same = {"distance": pl.lit(value, pl.Float64), "weather": pl.lit(None, pl.String)}

    report = judged(reference.with_columns(**same), city_day(1).with_columns(**same))

    assert (report.drifted, report.culprits) == (False, ())


def test_columns_that_only_the_reference_lacked_have_drifted(reference: pl.DataFrame) -> None:
    empty = reference.with_columns(distance=pl.lit(None, pl.Float64))

    assert judged(empty, city_day(1)).culprits == ("distance",)


@pytest.mark.parametrize(
    ("reference_rows", "rows", "said"),
    [(5000, 99, "this partition has 99 rows"), (20, 400, "the reference has 20 rows")],
)
def test_too_few_rows_are_a_third_answer_with_its_reason(
    reference: pl.DataFrame, reference_rows: int, rows: int, said: str
) -> None:
    report = judged(reference.head(reference_rows), city_day(1, further=50, rows=1000).head(rows))

    assert report.drifted is None
    assert report.drifted is None
    assert report.reason == f"not applicable: {said}, and fewer than 100 say nothing"
    assert report.columns == ()


def test_no_columns_to_compare_are_not_applicable(reference: pl.DataFrame) -> None:
    assert drift_report(reference, city_day(1), {}, threshold=THRESHOLD).drifted is None


@given(shift=st.floats(0.3, 3.0), seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_a_shift_beyond_the_threshold_is_seen_and_the_report_repeats(shift: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    old = pl.DataFrame({"x": rng.normal(5, 2, 2000)})
    new = pl.DataFrame({"x": rng.normal(5 + 2 * shift, 2, 400)})

    report = drift_report(old, new, {"x": "number"}, threshold=0.2)

    (column,) = report.columns
    assert report.drifted
    assert column.effect == pytest.approx(shift, abs=0.25)
    assert report == drift_report(old, new, {"x": "number"}, threshold=0.2)


@given(rows=st.integers(0, 60), wanted=st.integers(1, 40), seed=st.integers(0, 5))
def test_a_reference_sample_is_a_seeded_part_of_the_rows_in_their_order(rows: int, wanted: int, seed: int) -> None:
    frame = pl.DataFrame({"row": range(rows)}, schema={"row": pl.Int64})

    sample = reference_sample(frame, rows=wanted, seed=seed)

    assert sample.height == min(rows, wanted)
    assert sample["row"].is_sorted()
    assert sample["row"].n_unique() == sample.height
    assert sample.equals(reference_sample(frame, rows=wanted, seed=seed))


def test_the_page_is_written_even_when_a_column_has_no_values(reference: pl.DataFrame, tmp_path: Path) -> None:
    current = city_day(1).with_columns(load=pl.lit(None, pl.Float64))

    path = save_html(reference, current, KINDS, threshold=THRESHOLD, path=tmp_path / "reports" / "drift.html")

    page = path.read_text(encoding="utf-8")
    assert "Wasserstein distance (normed)" in page
    assert "Jensen-Shannon distance" in page


def test_texts_and_booleans_are_compared_as_categories() -> None:
    schema = Schema({"a": Column("string"), "b": Column("bool"), "c": Column("int32"), "d": Column("float64")})

    assert drift_kinds(schema, ["a", "b", "c", "d"]) == {"a": "category", "b": "category", "c": "number", "d": "number"}
