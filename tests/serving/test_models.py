"""Models: what serves follows the routes, and trouble changes nothing that serves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import pytest
from sqlalchemy.exc import OperationalError

from perennial.deployment import Version
from serving import models as module
from tests.bundles import an_instance, answer_by_hand
from tests.serving.conftest import NOW, Local


class DownDatabase:
    """Routes whose database does not answer."""

    def routes(self) -> Mapping[str, Version]:
        """Fail as SQLAlchemy does."""
        raise OperationalError("SELECT", {}, Exception("connection refused"))


def _answer(local: Local) -> tuple[float, str]:
    content = local.predict(an_instance(1)).json()
    return content["predictions"][0], content["model_version"]


def test_a_release_is_followed_and_a_rollback_too(local: Local) -> None:
    answers = []
    for change in (lambda: local.city.release(2.0), lambda: local.city.release(3.0), lambda: _roll_back(local)):
        change()
        local.follow()
        answers.append(_answer(local))

    by_hand = [answer_by_hand(slope, an_instance(1)) for slope in (2.0, 3.0, 2.0)]
    assert answers == list(zip(by_hand, ["1", "2", "1"], strict=True))


def test_each_pipeline_has_its_own_version(local: Local) -> None:
    local.city.release(2.0)
    local.city.release(5.0, pipeline="walks")
    local.follow()

    walks = local.predict(an_instance(1), pipeline="walks").json()

    assert walks["predictions"] == [answer_by_hand(5.0, an_instance(1))]
    assert local.request("GET", "/v1/models").json() == {"models": ["rides", "walks"]}


def test_following_again_loads_nothing(local: Local) -> None:
    local.city.release(2.0)
    local.follow()
    before = local.models.served["rides"]

    local.follow()

    assert local.models.served["rides"] is before


def test_a_damaged_bundle_keeps_the_old_one_with_one_error(local: Local, caplog: pytest.LogCaptureFixture) -> None:
    local.city.release(2.0)
    local.follow()
    _damage(local, local.city.release(3.0))

    with caplog.at_level(logging.ERROR):
        local.follow()
        local.follow()

    assert _answer(local) == (answer_by_hand(2.0, an_instance(1)), "1")
    (message,) = caplog.messages
    for part in ("rides: version 2", "version 1 goes on serving", "model.onnx", "sha256"):
        assert part in message
    assert 'perennial_bundle_failures_total{pipeline="rides"} 1.0' in local.request("GET", "/metrics").text
    ready = local.request("GET", "/readyz")
    assert ready.status_code == 200
    assert "model.onnx" in ready.json()["failures"]["rides"]


def test_a_repaired_bundle_is_taken_when_it_is_tried_again(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    local.city.release(2.0)
    local.follow()
    repair = _damage(local, local.city.release(3.0))
    local.follow()
    repair()

    local.follow()

    assert _answer(local)[1] == "2"
    assert local.request("GET", "/readyz").json()["failures"] == {}


def test_readers_keep_the_failures_they_took_while_others_are_noted_and_mended(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    before = local.models.failures
    repair = _damage(local, local.city.release(2.0))
    local.follow()
    during = local.models.failures
    repair()
    local.follow()

    assert [list(taken) for taken in (before, during, local.models.failures)] == [[], ["rides"], []]


def test_a_first_champion_that_cannot_be_loaded_is_a_503_with_the_reason(local: Local) -> None:
    _damage(local, local.city.release(2.0))
    local.follow()

    answer = local.predict(an_instance())

    assert answer.status_code == 503
    assert "model.onnx" in answer.json()["error"]
    assert local.request("GET", "/readyz").status_code == 503


def test_a_database_that_does_not_answer_leaves_the_last_routes(local: Local, caplog: pytest.LogCaptureFixture) -> None:
    local.city.release(2.0)
    local.follow()

    for _ in range(3):
        local.models.refresh(DownDatabase(), local.city.bundles)

    assert _answer(local)[1] == "1"
    assert len(caplog.messages) == 1
    ready = local.request("GET", "/readyz")
    assert ready.status_code == 200
    assert "connection refused" in ready.json()["operations"]
    text = local.request("GET", "/metrics").text
    assert "perennial_operations_up 0.0" in text
    assert "perennial_operations_failures_total 3.0" in text
    local.follow()
    assert local.request("GET", "/readyz").json()["operations"] == "ok"


def test_a_model_is_described_with_its_schema(local: Local) -> None:
    version = local.city.release(2.0)
    local.follow()

    described = local.request("GET", "/v1/models/rides").json()

    assert (described["name"], described["version"], described["as_of"]) == ("rides", "1", "2024-01-31")
    assert described["bundle"] == version.bundle_sha256
    assert described["schema"]["columns"][1] == {
        "name": "distance", "kind": "float64", "nullable": False, "unit": "km", "meaning": "planned", "pii": False,
    }  # fmt: skip
    assert local.request("GET", "/v1/models/walks").status_code == 404


def _roll_back(local: Local) -> None:
    local.city.operations.rollback("rides", actor="test", reason="a test", at=NOW)


def _damage(local: Local, version: Version) -> Callable[[], int]:
    path = local.city.bundles.path(version.bundle_sha256) / "model.onnx"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    return lambda: path.write_bytes(whole)
