"""Homes with the state that a journey begins with, made once a module and copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from perennial.graph.stages import training_assets
from tests.assets.house import copy_of, open_house, simulate_days

FIRST, LAST = "2024-01-01", "2024-02-14"
"""45 days: the 42 of a training window, and three more."""
ROWS = ("landed", "accepted", "quarantined", "partials", "aggregates", "features", "labels")


@pytest.fixture(scope="session")
def backfilled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a closed house of `delivery_eta` with the data of 45 days, and no model."""
    root = tmp_path_factory.mktemp("backfilled") / "home"
    simulate_days(root, FIRST, LAST)
    with open_house(root) as house:
        assert house.run(*ROWS, "summary", keys=(FIRST, LAST)).success
    return root


@pytest.fixture(scope="session")
def released(backfilled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a closed house whose version 1, as of the last day, serves."""
    root = tmp_path_factory.mktemp("released") / "home"
    with copy_of(backfilled, root) as house:
        result = house.run(*training_assets(house.pipeline), keys=LAST)
        assert result.success, result.errors
    return root
