"""Feedback: outcomes by prediction id, all of a request or none."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bundles import an_instance
from tests.serving.conftest import NOW, Local


@pytest.fixture
def answered(local: Local) -> tuple[Local, list[str]]:
    """Return the app and the ids of three predictions."""
    local.city.release(2.0)
    local.follow()
    return local, local.predict(*(an_instance(number) for number in range(3))).json()["ids"]


def _send(local: Local, *outcomes: Any, pipeline: str = "rides") -> httpx.Response:
    body = json.dumps({"outcomes": outcomes})
    return local.request("POST", f"/v1/models/{pipeline}:feedback", content=body)


def _kept(local: Local) -> dict[str, float]:
    rows = local.city.operations.feedback("rides", ["2024-03-01"])
    return dict(zip(rows["prediction_id"], rows["label"], strict=True))


def test_outcomes_are_kept_under_their_predictions(answered: tuple[Local, list[str]]) -> None:
    local, ids = answered

    answer = _send(local, *({"id": name, "label": n} for n, name in enumerate(ids)))

    assert answer.json() == {"received": 3, "new": 3}
    assert _kept(local) == {name: float(n) for n, name in enumerate(ids)}
    received = local.city.operations.feedback("rides", ["2024-03-01"])["received_at"]
    assert set(received) == {NOW}


def test_sending_again_adds_nothing(answered: tuple[Local, list[str]]) -> None:
    local, ids = answered
    _send(local, {"id": ids[0], "label": 1})

    assert _send(local, {"id": ids[0], "label": 1}).json() == {"received": 1, "new": 0}


def test_an_unknown_id_is_a_404_that_names_it_and_keeps_nothing(answered: tuple[Local, list[str]]) -> None:
    local, ids = answered
    made_up = ids[1][:-1] + ("0" if ids[1][-1] != "0" else "1")

    answer = _send(local, {"id": ids[0], "label": 1.0}, {"id": made_up, "label": 2.0})

    assert answer.status_code == 404
    assert made_up in answer.json()["error"]
    assert _kept(local) == {}


def test_an_id_of_another_pipeline_is_unknown(answered: tuple[Local, list[str]]) -> None:
    local, ids = answered

    assert _send(local, {"id": ids[0], "label": 1.0}, pipeline="walks").status_code == 404


@pytest.mark.parametrize("label", [None, "7", True, [], float("nan"), float("inf"), 10**400])
def test_a_label_that_is_no_finite_number_is_a_422_and_keeps_nothing(
    answered: tuple[Local, list[str]], label: Any
) -> None:
    local, ids = answered

    answer = _send(local, {"id": ids[0], "label": 1.0}, {"id": ids[1], "label": label})

    assert answer.status_code == 422
    assert (answer.json()["index"], answer.json()["field"]) == (1, "label")
    assert "outcomes[1]" in answer.json()["error"]
    assert _kept(local) == {}


@pytest.mark.parametrize(
    "outcome", [{"label": 1}, {"id": "a"}, {"id": 7, "label": 1}, 7, {"id": "a", "label": 1, "x": 1}]
)
def test_an_outcome_of_another_shape_is_a_422(answered: tuple[Local, list[str]], outcome: Any) -> None:
    assert _send(answered[0], outcome).status_code == 422


def test_an_outcome_may_say_who_told_it_and_how_surely(answered: tuple[Local, list[str]]) -> None:
    local, ids = answered

    _send(local, {"id": ids[0], "label": 1, "source": "guest", "confidence": 0.5}, {"id": ids[1], "label": 2})
    corrected = _send(local, {"id": ids[0], "label": 1, "source": "courier", "confidence": 1})

    assert corrected.json() == {"received": 1, "new": 1}
    rows = local.city.operations.feedback("rides", ["2024-03-01"]).select("prediction_id", "source", "confidence")
    assert sorted(rows.rows()) == sorted([(ids[0], "courier", 1.0), (ids[1], "client", 1.0)])


@pytest.mark.parametrize(
    ("field", "value"),
    [("confidence", value) for value in (None, "1", True, -0.1, 1.1, float("nan"))]
    + [("source", value) for value in (None, 7, "", "x" * 101, "\ud800", "a\x00b")],
)
def test_a_source_or_confidence_that_does_not_fit_is_a_422_and_keeps_nothing(
    answered: tuple[Local, list[str]], field: str, value: Any
) -> None:
    local, ids = answered

    answer = _send(local, {"id": ids[0], "label": 1.0}, {"id": ids[1], "label": 2.0, field: value})

    assert answer.status_code == 422
    assert (answer.json()["index"], answer.json()["field"]) == (1, field)
    assert _kept(local) == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"outcomes": 7}', b'{"instances": []}'])
def test_broken_json_is_a_400(answered: tuple[Local, list[str]], body: bytes) -> None:
    answer = answered[0].request("POST", "/v1/models/rides:feedback", content=body)

    assert answer.status_code == 400
    assert "outcomes" in answer.json()["expected"]


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("2024-03-01-\ud800-00")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(
        VALUES | st.dictionaries(st.sampled_from(["id", "label", "source", "confidence", "\ud800"]), VALUES), max_size=3
    )
)
def test_nothing_that_a_client_sends_makes_a_5xx(answered: tuple[Local, list[str]], outcomes: list[Any]) -> None:
    answer = _send(answered[0], *outcomes)

    assert answer.status_code < 500
    assert _kept(answered[0]) == {}


def test_of_a_classification_an_outcome_is_zero_or_one(answered: tuple[Local, list[str]]) -> None:
    local, ids = answered
    manifest = local.models.find("rides").bundle.manifest
    assert isinstance(manifest, dict)
    manifest["objective"] = {"task": "binary classification"}

    answer = _send(local, {"id": ids[0], "label": 1}, {"id": ids[1], "label": 0.5})

    assert answer.status_code == 422
    assert "found 0.5, expected 0 or 1" in answer.text
    assert _kept(local) == {}
    assert _send(local, {"id": ids[0], "label": 1}, {"id": ids[1], "label": 0}).json() == {"received": 2, "new": 2}
