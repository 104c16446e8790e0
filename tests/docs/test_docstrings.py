"""Docstrings: every example in one gives what it says."""

from __future__ import annotations

import doctest
import importlib

import pytest

from perennial.settings import CLONE

PACKAGES = ("perennial", "assets", "resources", "sensors", "cli", "serving", "pipelines", "world", "benchmarks")


def with_examples() -> list[str]:
    """The modules that show an example."""
    files = (file for package in PACKAGES for file in sorted((CLONE / package).rglob("*.py")))
    return [".".join(file.relative_to(CLONE).with_suffix("").parts) for file in files if ">>> " in file.read_text()]


@pytest.mark.parametrize("module", with_examples())
def test_the_examples_of_a_docstring_hold(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module))

    assert found.attempted
    assert not found.failed


def test_every_package_is_looked_through() -> None:
    assert {file.parent.name for file in CLONE.glob("*/__init__.py")} == set(PACKAGES)
