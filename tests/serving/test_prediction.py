"""Prediction: right answers, and for everything else one clear error that names the field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial.prediction.prediction_id import verify
from serving.answers import MOST_INSTANCES
from tests.bundles import an_instance, answer_by_hand
from tests.perennial.prediction.test_request import BAD_FIELDS, VALUES
from tests.records import ids_in
from tests.serving.conftest import City, Local

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


@pytest.fixture
def served(local: Local) -> Local:
    """Return the app with version 1 of `rides` in it."""
    local.city.release(2.0)
    local.follow()
    return local


def test_an_answer_holds_predictions_ids_and_the_version(served: Local) -> None:
    instances = [an_instance(number) for number in range(5)]

    answer = served.predict(*instances).json()

    assert answer["predictions"] == pytest.approx([answer_by_hand(2.0, instance) for instance in instances])
    assert answer["model_version"] == "1"
    secret = served.city.operations.secret()
    assert {verify("rides", name, secret) for name in answer["ids"]} == {"2024-03-01"}
    assert ids_in(served.city.home.inference / "rides") == answer["ids"]


def test_the_record_of_an_answer_holds_all_that_monitoring_needs(served: Local) -> None:
    sent = an_instance(3, ride_id=7, at_door="2024-03-01T23:30:00Z")

    served.predict(sent)

    (segment,) = (served.city.home.inference / "rides").glob("*.jsonl")
    record = json.loads(segment.read_text())
    assert record["instance"] == sent | {"at_door": "2024-03-02T00:30:00"}
    assert record["event_time"] == "2024-03-01T23:30:00Z"
    assert record["partition"] == "2024-03-02"  # by the pipeline's own calendar
    assert record["features"]["distance"] == sent["distance"]
    assert (record["pipeline"], record["version"]) == ("rides", 1)
    assert record["bundle"] == served.models.served["rides"].bundle.sha256
    assert record["latency_ms"] >= 0


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_a_bad_value_is_a_4xx_with_index_field_found_and_expected(served: Local, field: str, value: Any) -> None:
    body = json.dumps({"instances": [an_instance(), an_instance() | {field: value}]})

    answer = served.request("POST", "/v1/models/rides:predict", content=body)

    assert answer.status_code == 422
    content = answer.json()
    assert (content["index"], content["field"]) == (1, field)
    assert field in content["error"]
    assert content["found"]
    assert content["expected"]
    assert ids_in(served.city.home.inference / "rides") == []


@pytest.mark.parametrize("body", [b"", b'{"instances": [', b'{"instances": {}}', b"[]", b"\xff\xfe"])
def test_broken_json_is_a_400(served: Local, body: bytes) -> None:
    answer = served.request("POST", "/v1/models/rides:predict", content=body)

    assert answer.status_code == 400
    assert "instances" in answer.json()["expected"]


def test_an_unknown_pipeline_is_a_404_that_names_those_served(served: Local) -> None:
    answer = served.predict(an_instance(), pipeline="walks")

    assert answer.status_code == 404
    assert "walks" in answer.json()["error"]
    assert "rides" in answer.json()["expected"]


def test_before_the_routes_are_known_the_answer_is_503(local: Local) -> None:
    assert local.predict(an_instance()).status_code == 503


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_a_405(served: Local, method: str) -> None:
    answer = served.request(method, "/v1/models/rides:predict")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_too_many_instances_are_a_413(served: Local) -> None:
    assert served.predict(*[an_instance()] * (MOST_INSTANCES + 1)).status_code == 413


def test_no_instances_are_answered_with_none(served: Local) -> None:
    assert served.predict().json() == {"predictions": [], "ids": [], "model_version": "1"}


def test_many_instances_are_answered_in_order(served: Local) -> None:
    instances = [an_instance(number) for number in range(1000)]

    answer = served.predict(*instances).json()

    assert answer["predictions"] == pytest.approx([answer_by_hand(2.0, instance) for instance in instances], rel=1e-6)
    assert ids_in(served.city.home.inference / "rides") == answer["ids"]


def test_an_instance_without_a_finite_answer_is_refused_and_not_logged(served: Local) -> None:
    answer = served.predict(an_instance(), an_instance(distance=1e300))

    assert answer.status_code == 422
    assert answer.json()["index"] == 1
    assert ids_in(served.city.home.inference / "rides") == []


def test_without_a_log_no_answer_is_sent(served: Local) -> None:
    served.city.home.inference.mkdir()
    (served.city.home.inference / "rides").write_text("a file where the segments should be")

    answer = served.predict(an_instance())

    assert answer.status_code == 503
    assert "log" in served.request("GET", "/metrics").text


def test_a_bad_request_fails_alone_among_those_that_are_scored_together(served: Local) -> None:
    import asyncio

    import httpx

    async def ask_together() -> list[httpx.Response]:
        transport = httpx.ASGITransport(served.server)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            bodies = [[an_instance(number)] for number in range(12)]
            bodies[3] = [an_instance(distance="far")]
            bodies[7] = [an_instance(distance=1e300)]
            post = [client.post("/v1/models/rides:predict", json={"instances": body}) for body in bodies]
            return list(await asyncio.gather(*post))

    answers = served.loop.run(ask_together())

    assert [n for n, answer in enumerate(answers) if answer.status_code != 200] == [3, 7]
    assert served.metrics.batch_rows._sum.get() == 11
    for number, answer in enumerate(answers):
        if answer.status_code == 200:
            assert answer.json()["predictions"] == pytest.approx([answer_by_hand(2.0, an_instance(number))])


def test_requests_errors_versions_and_rows_are_counted(served: Local) -> None:
    served.predict(an_instance(), an_instance())
    served.predict(an_instance(distance=None))
    served.predict(an_instance(), pipeline="made_up")

    text = served.request("GET", "/metrics").text

    for line in (
        'perennial_requests_total{pipeline="rides",status="200"} 1.0',
        'perennial_requests_total{pipeline="rides",status="422"} 1.0',
        'perennial_errors_total{kind="field",pipeline="rides"} 1.0',
        'perennial_errors_total{kind="model",pipeline="unknown"} 1.0',
        'perennial_instances_total{pipeline="rides",version="1"} 2.0',
        'perennial_version{pipeline="rides"} 1.0',
        'perennial_latency_seconds_count{pipeline="rides"} 1.0',
        "perennial_in_flight 0.0",
    ):
        assert line in text
    assert "made_up" not in text


FIELDS = st.sampled_from([*an_instance(), "ride_id", "colour", "\ud800"])
INSTANCES = st.builds(lambda n, c: an_instance(n) | c, st.integers(0, 99), st.dictionaries(FIELDS, VALUES, max_size=3))
BODIES = st.one_of(
    st.binary(max_size=60),
    st.lists(INSTANCES | VALUES, max_size=3).map(lambda i: json.dumps({"instances": i}).encode()),
    st.recursive(VALUES, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=6).map(
        lambda v: json.dumps(v).encode()
    ),
)


@SHARED
@given(
    bodies=st.lists(BODIES, min_size=3, max_size=3),
    method=st.sampled_from(["POST", "POST", "POST", "GET", "PUT"]),
    path=st.sampled_from(["/v1/models/rides:predict", "/v1/models/rides:predict", "/v1/models/\u00e9:predict"]),
    verb=st.sampled_from(["predict", "feedback"]),
)
def test_nothing_that_a_client_sends_makes_a_5xx(
    served: Local, bodies: list[bytes], method: str, path: str, verb: str
) -> None:
    for body in bodies:
        answer = served.request(method, path.replace("predict", verb), content=body)

        assert answer.status_code < 500
        if answer.status_code >= 400 and not (verb == "feedback" and answer.status_code == 405):
            assert answer.json()["error"]


def test_the_server_starts_without_any_library_of_training(city: City) -> None:
    import subprocess
    import sys

    code = "import json, sys, serving.server; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(json.loads(done.stdout))
    assert loaded & {"mlflow", "dagster", "sklearn", "torch", "great_expectations", "evidently", "pandas"} == set()
