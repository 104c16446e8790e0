"""Documentation: every route is described, with the fields of each served pipeline, from this server alone."""

from __future__ import annotations

import re

import pytest

from tests.serving.conftest import Local


@pytest.fixture
def served(local: Local) -> Local:
    """Return the app with version 1 of `rides` in it."""
    local.city.release(2.0)
    local.follow()
    return local


def test_the_openapi_names_every_route_and_the_fields_of_a_request(served: Local) -> None:
    api = served.request("GET", "/openapi.json").json()

    routes = {"predict", "feedback"}
    assert {f"/v1/models/{{pipeline}}:{route}" for route in routes} <= set(api["paths"])
    assert {"/v1/models", "/v1/models/{pipeline}", "/healthz", "/readyz", "/metrics"} <= set(api["paths"])
    body = api["paths"]["/v1/models/rides:predict"]["post"]["requestBody"]["content"]["application/json"]
    item = body["schema"]["properties"]["instances"]["items"]
    assert item["properties"]["distance"] == {"type": "number", "format": "double", "description": "planned (km)"}
    assert item["properties"]["note"]["type"] == ["string", "null"]
    assert "ride_id" in item["properties"]
    assert "ride_id" not in item["required"]


def test_the_example_of_a_request_is_answered(served: Local) -> None:
    api = served.request("GET", "/openapi.json").json()
    operation = api["paths"]["/v1/models/rides:predict"]["post"]

    answer = served.predict(*operation["requestBody"]["content"]["application/json"]["example"]["instances"])

    assert answer.status_code == 200


def test_the_page_shows_every_route_and_loads_nothing_from_elsewhere(served: Local) -> None:
    page = served.request("GET", "/docs").text

    assert "/v1/models/rides:predict" in page
    assert "distance" in page
    assert re.findall(r"<script|<link|<img|@import|https?://(?!HOST)", page) == []
