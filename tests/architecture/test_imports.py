"""Imports: they point down, and loading the definitions loads nothing heavy and nothing deprecated."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from perennial.settings import CLONE

BANNED = tomllib.loads((CLONE / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["flake8-tidy-imports"]
HEAVY = ("evidently", "great_expectations", "mlflow", "onnx", "sklearn", "torch")
LOAD = """
import json, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import pipelines.definitions
from dagster import BetaWarning, SupersessionWarning
ours = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
found = [
    f"{w.filename}:{w.lineno}: {w.category.__name__}: {w.message}"
    for w in caught
    if issubclass(w.category, (BetaWarning, SupersessionWarning))
    or issubclass(w.category, ours) and w.filename.startswith(sys.argv[1]) and "/.venv/" not in w.filename
]
print(json.dumps({"modules": sorted(sys.modules), "warnings": found}))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, Any]:
    """Return what a fresh process holds after it loaded the definitions."""
    command = [sys.executable, "-c", LOAD, str(CLONE)]
    process = subprocess.run(command, cwd=CLONE, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result


def test_imports_point_down() -> None:
    linter = Path(sys.executable).parent / "lint-imports"

    process = subprocess.run([linter, "--no-logo"], cwd=CLONE, capture_output=True, text=True, check=False)

    assert process.returncode == 0, process.stdout + process.stderr


def test_loading_the_definitions_loads_no_heavy_library(loaded: dict[str, Any]) -> None:
    assert set(HEAVY) & set(loaded["modules"]) == set()


def test_the_linter_bans_at_least_what_loading_must_not_load() -> None:
    assert set(HEAVY) - set(BANNED["banned-module-level-imports"]) == set()


def test_loading_the_definitions_warns_of_nothing_deprecated_superseded_or_beta(loaded: dict[str, Any]) -> None:
    assert loaded["warnings"] == []
