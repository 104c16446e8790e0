from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.evaluation.metrics import measure_all
from perennial.monitoring.performance import match_outcomes, performance
from perennial.objective import BinaryClassification, Regression, ShareOfDecisions, ShareWithin

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
TOLD: dict[str, Any] = {"source": pl.String, "confidence": pl.Float64}
FEEDBACK: dict[str, Any] = {"prediction_id": pl.String, "label": pl.Float64, "received_at": pl.Datetime("us", "UTC")}
LABELS: dict[str, Any] = {"order_id": pl.String, "label": pl.Float64}
OBJECTIVE = Regression(goal=4.0, unit="minutes", kpi=ShareWithin(5.0))


def predictions_of(*rows: tuple[str, int, float, str | None]) -> pl.DataFrame:
    schema: dict[str, Any] = {"id": pl.String, "version": pl.Int64, "prediction": pl.Float64, "order_id": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(partition=pl.lit("2024-03-01"))


def feedback_of(*rows: tuple[str | None, float | None, int]) -> pl.DataFrame:
    timed = [(name, label, NOON + timedelta(minutes=minute)) for name, label, minute in rows]
    return pl.DataFrame([(*row, "guest", 0.5) for row in timed], schema=FEEDBACK | TOLD, orient="row")


def labels_of(*rows: tuple[str | None, float | None]) -> pl.DataFrame:
    return pl.DataFrame([(*row, "meter", 1.0) for row in rows], schema=LABELS | TOLD, orient="row")


ids = st.sampled_from(["a", "b", "c"])
orders = st.sampled_from([None, "o1", "o2", "o3"])
numbers = st.none() | st.floats(-50, 50)


@given(
    sent=st.lists(st.tuples(ids, orders), unique_by=lambda row: row[0]),
    said=st.lists(st.tuples(st.none() | ids, numbers), max_size=5),
    known=st.lists(st.tuples(orders, numbers), max_size=5),
)
def test_feedback_wins_over_labels_and_the_newest_of_each_counts(
    sent: list[tuple[str, str | None]],
    said: list[tuple[str | None, float | None]],
    known: list[tuple[str | None, float | None]],
) -> None:
    truth = match_outcomes(
        predictions_of(*((name, 1, 0.0, order) for name, order in sent)),
        feedback_of(*((name, label, minute) for minute, (name, label) in enumerate(said))),
        labels_of(*known),
        key=["order_id"],
    )

    newest_said = {name: label for name, label in said if name is not None and label is not None}
    newest_known = {order: label for order, label in known if order is not None and label is not None}
    assert truth["id"].to_list() == [name for name, _ in sent]
    for row in truth.iter_rows(named=True):
        if row["id"] in newest_said:
            expected: tuple[Any, ...] = (newest_said[row["id"]], "feedback", "guest", 0.5)
        elif row["order_id"] in newest_known:
            expected = (newest_known[row["order_id"]], "labels", "meter", 1.0)
        else:
            expected = (None, None, None, None)
        assert tuple(row[name] for name in ("label", "source", "said_by", "confidence")) == expected


def test_what_was_said_about_the_answer_itself_wins_over_the_label_of_its_order() -> None:
    truth = match_outcomes(
        predictions_of(("a", 1, 0.0, "o1")), feedback_of(("a", 7.0, 0)), labels_of(("o1", 20.0)), key=["order_id"]
    )

    assert truth.select("label", "source").row(0) == (7.0, "feedback")


def test_feedback_that_arrived_late_and_out_of_order_counts_by_its_receipt() -> None:
    feedback = feedback_of(("a", 9.0, 30), ("a", 7.0, 10))

    truth = match_outcomes(predictions_of(("a", 1, 0.0, None)), feedback, labels_of(), key=["order_id"])

    assert truth["label"].to_list() == [9.0]


def test_two_predictions_for_one_order_share_its_label() -> None:
    predictions = predictions_of(("a", 1, 0.0, "o1"), ("b", 2, 0.0, "o1"))

    truth = match_outcomes(predictions, feedback_of(), labels_of(("o1", 20.0)), key=["order_id"])

    assert truth["label"].to_list() == [20.0, 20.0]


def test_requests_without_the_key_meet_their_outcomes_by_id_alone() -> None:
    predictions = predictions_of(("a", 1, 0.0, "o1"), ("b", 1, 0.0, "o2")).drop("order_id")

    truth = match_outcomes(predictions, feedback_of(("b", 3.0, 0)), labels_of(("o1", 20.0)), key=["order_id"])

    assert truth["source"].to_list() == [None, "feedback"]


@pytest.mark.parametrize(
    ("sent", "declared", "met"),
    [
        (pl.Series([17, 18], dtype=pl.Int64), pl.Series([17], dtype=pl.Int32), [True, False]),
        (pl.Series(["17", "x"]), pl.Series([17], dtype=pl.Int32), [True, False]),
        (pl.Series(["2024-03-01T12:00:00", "noon"]), pl.Series([datetime(2024, 3, 1, 12)]), [True, False]),
    ],
    ids=["wider integer", "text for a number", "text for a time"],
)
def test_a_key_meets_its_label_across_types(sent: pl.Series, declared: pl.Series, met: list[bool]) -> None:
    predictions = predictions_of(("a", 1, 0.0, None), ("b", 1, 0.0, None)).with_columns(order_id=sent)
    labels = pl.DataFrame({"order_id": declared, "label": [1.0], "source": ["meter"], "confidence": [1.0]})

    truth = match_outcomes(predictions, feedback_of(), labels, key=["order_id"])

    assert truth["label"].is_not_null().to_list() == met
    assert truth["order_id"].equals(sent.alias("order_id"))


def truth_of(*rows: tuple[int, float, float | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"version": pl.Int64, "prediction": pl.Float64, "label": pl.Float64}, orient="row")


def test_performance_of_each_version_and_of_all() -> None:
    truth = truth_of((2, 10.0, 14.0), (1, 10.0, 4.0), (1, 10.0, 12.0), (2, 10.0, None))

    overall, first, second = performance(truth, OBJECTIVE)

    assert (overall.version, overall.predictions, overall.answered, overall.matched_share) == (None, 4, 3, 0.75)
    assert overall.metric == pytest.approx(4.0)
    assert overall.bias == pytest.approx(0.0)
    assert (first.version, first.metric, first.bias, first.kpi_share) == (1, 4.0, 2.0, 0.5)
    assert (second.version, second.metric, second.bias, second.kpi_share) == (2, 4.0, -4.0, 1.0)


def test_the_metric_is_the_objectives_own() -> None:
    truth = truth_of((1, 0.0, 3.0), (1, 0.0, 4.0))
    squared = Regression(metric="rmse", goal=4.0, unit="minutes", kpi=ShareWithin(5.0))

    assert performance(truth, squared)[0].metric == pytest.approx((12.5) ** 0.5)


@pytest.mark.parametrize(("rows", "predictions"), [([], 0), ([(1, 3.0, None)], 1)])
def test_without_an_answer_there_is_no_metric(rows: list[Any], predictions: int) -> None:
    overall = performance(truth_of(*rows), OBJECTIVE)[0]

    assert (overall.predictions, overall.answered, overall.matched_share) == (predictions, 0, 0.0)
    assert (overall.metric, overall.bias, overall.kpi_share) == (None, None, None)


@given(rows=st.lists(st.tuples(st.integers(1, 3), st.floats(-9, 9), numbers), max_size=30))
def test_the_versions_add_up_to_the_whole(rows: list[tuple[int, float, float | None]]) -> None:
    overall, *versions = performance(truth_of(*rows), OBJECTIVE)

    assert [v.version for v in versions] == sorted({version for version, _, _ in rows})
    assert sum(v.predictions for v in versions) == overall.predictions == len(rows)
    assert sum(v.answered for v in versions) == overall.answered
    errors = [abs(prediction - label) for _, prediction, label in rows if label is not None]
    if errors:
        assert overall.metric == pytest.approx(sum(errors) / len(errors))
        assert overall.kpi_share == pytest.approx(sum(error <= 5 for error in errors) / len(errors))


chances = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]))
decisions = st.lists(st.tuples(st.integers(1, 3), chances, st.sampled_from([None, 0.0, 1.0])), max_size=30)


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
@pytest.mark.parametrize("kpi", ["accuracy", "precision", "recall"])
@given(rows=decisions)
def test_probabilities_are_judged_as_the_sealed_test_judges_them(
    metric: Any, kpi: Any, rows: list[tuple[int, float, float | None]]
) -> None:
    objective = BinaryClassification(metric=metric, goal=0.5, positive="late", kpi=ShareOfDecisions(kpi))
    schema: dict[str, Any] = {"version": pl.Int64, "prediction": pl.Float64, "label": pl.Float64}

    overall, *by_version = performance(pl.DataFrame(rows, schema=schema, orient="row"), objective)

    known = [(p, label) for _, p, label in rows if label is not None]
    assert (overall.predictions, overall.answered) == (len(rows), len(known))
    assert [each.version for each in by_version] == sorted({version for version, _, _ in rows})
    if not known:
        assert overall.metric is overall.bias is overall.kpi_share is None
        return
    prediction, label = (np.array(each) for each in zip(*known, strict=True))
    expected = measure_all(label, prediction, np.zeros(len(label)), objective=objective)
    assert overall.metric == pytest.approx(expected[metric].value, rel=1e-6, abs=1e-9)
    assert overall.bias == pytest.approx(expected["bias"].value, abs=1e-9)
    share = expected["kpi"].value
    assert overall.kpi_share is None if np.isnan(share) else overall.kpi_share == pytest.approx(share)


def test_an_outcome_that_is_no_class_is_not_judged() -> None:
    objective = BinaryClassification(goal=0.5, positive="late")
    truth = pl.DataFrame({"version": [1, 1, 1], "prediction": [0.9, 0.9, 0.9], "label": [1.0, 0.3, 7.0]})

    overall, _ = performance(truth, objective)

    assert (overall.predictions, overall.answered, overall.kpi_share) == (3, 1, 1.0)
    assert overall.metric == pytest.approx(-np.log(0.9))
