"""Rollback: without a version to return to it says so, and changes nothing."""

from __future__ import annotations

from tests.cli.conftest import Command


def test_without_a_version_there_is_no_way_back(perennial: Command) -> None:
    said = perennial("rollback", "delivery_eta", "--reason", "a test")

    assert said.code == 3
    assert "delivery_eta: no rollback: no version ever served" in said.errors
