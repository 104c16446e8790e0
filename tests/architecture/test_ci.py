"""CI: a test that must run there cannot skip in silence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from perennial.settings import CLONE

SKIPS = """
import pytest

@pytest.mark.{marker}
def test_needs_what_is_not_there():
    pytest.skip("nothing to drive")
"""


def outcome(folder: Path, *, marker: str, ci: str) -> str:
    shutil.copy(CLONE / "tests" / "conftest.py", folder)
    (folder / "test_skips.py").write_text(SKIPS.format(marker=marker))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(CLONE / "pyproject.toml"),
        "--rootdir",
        str(folder),
        str(folder),
    ]
    environment = {**os.environ, "PERENNIAL_CI": ci, "PYTHONPATH": str(CLONE), "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return process.stdout


@pytest.mark.parametrize("marker", ["browser", "real_data", "daemon"])
def test_a_skip_is_a_failure_in_ci_and_says_why(tmp_path: Path, marker: str) -> None:
    report = outcome(tmp_path, marker=marker, ci="1")

    assert "1 failed" in report
    assert f"skipped under PERENNIAL_CI=1, though marked {marker}" in report
    assert "nothing to drive" in report


@pytest.mark.parametrize(("marker", "ci"), [("gpu", "1"), ("browser", "0")])
def test_a_skip_is_a_skip_elsewhere(tmp_path: Path, marker: str, ci: str) -> None:
    assert "1 skipped" in outcome(tmp_path, marker=marker, ci=ci)


def test_a_mirror_that_does_not_answer_is_named_as_the_cause(tmp_path: Path) -> None:
    for name, code in (("dpkg-query", 1), ("apt-get", 100)):
        command = tmp_path / name
        command.write_text(f'#!/bin/sh\necho {name} "$@" is out of order\nexit {code}\n')
        command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    process = subprocess.run(
        [str(CLONE / ".ci" / "run")], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert process.returncode == 1
    assert "apt-get update -qq is out of order" in process.stdout
    assert "ci: apt-get update failed" in process.stderr
