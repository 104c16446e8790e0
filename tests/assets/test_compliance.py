"""Compliance: a training refuses what the rules forbid and what is blocked, whoever asks, and says so in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import pytest

from perennial.policies import Rules, Windows
from pipelines.delivery_eta import delivery_eta
from tests.assets.house import House, open_house, simulate_days

DAYS = ("2024-01-01", "2024-01-03")
SHORT = replace(delivery_eta, windows=Windows(train=1, validation=1, test=1))
ROWS = ("landed", "accepted", "quarantined", "partials", "aggregates", "features", "labels", "summary")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Three days of data, the last of which is blocked."""
    root = tmp_path_factory.mktemp("compliance") / "home"
    simulate_days(root, *DAYS)
    with open_house(root, pipeline=SHORT) as opened:
        opened.rewrite("2024-01-03", -pl.col("distance_km"))
        opened.run(*ROWS, keys=DAYS)
        yield opened


@pytest.mark.parametrize("name", ["training_set", "features", "labels"])
def test_a_later_run_of_anything_downstream_refuses_a_blocked_partition(house: House, name: str) -> None:
    result = house.run(name, keys="2024-01-03")

    assert not result.success
    (error,) = result.errors
    assert "accepted is blocked" in error.message


def test_data_from_a_source_that_the_rules_forbid_is_not_trained_on(house: House) -> None:
    house.rewrite("2024-01-03", -pl.col("distance_km"))
    assert house.run(*ROWS, keys="2024-01-03").success
    strict = house.declared_as(rules=Rules(allowed_sources=("s3://ours/*",)))

    (error,) = strict.run("training_set", keys="2024-01-03").errors

    assert error.kind == "RuleBroken"
    assert error.is_refusal
    entry = house.tables.operations.ledger("delivery_eta", kind="refusal", limit=1)[0]
    assert "2024-01-01 came from file:///" in entry.reason
    assert "allowed is s3://ours/*" in entry.reason
