"""CI: a test that must run there cannot skip in silence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from perennial.settings import CLONE
from tests.conftest import MUST_RUN

SKIPS = """
@pytest.mark.{marker}
def test_needs_a_{marker}_that_is_not_there():
    pytest.skip("nothing to drive")
"""


def outcome(folder: Path, *markers: str, ci: str) -> str:
    shutil.copy(CLONE / "tests" / "conftest.py", folder)
    tests = [SKIPS.format(marker=marker) for marker in markers]
    (folder / "test_skips.py").write_text("\n".join(["import pytest", *tests]))
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


def test_a_skip_of_what_must_run_is_a_failure_in_ci_and_says_why(tmp_path: Path) -> None:
    report = outcome(tmp_path, *MUST_RUN, "gpu", ci="1")

    assert f"{len(MUST_RUN)} failed, 1 skipped" in report
    for marker in MUST_RUN:
        assert f"skipped under PERENNIAL_CI=1, though marked {marker}: " in report
    assert report.count("nothing to drive") > len(MUST_RUN)


def test_a_skip_is_a_skip_elsewhere(tmp_path: Path) -> None:
    assert f"{len(MUST_RUN)} skipped" in outcome(tmp_path, *MUST_RUN, ci="0")


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


PASSED = "===== 40 passed, 3 deselected, 1 warning in 100.00s (0:01:40) ====="
MIXED = "== 2 failed, 1200 passed, 1 skipped, 2 errors in 70.5s (0:01:10) =="


@pytest.mark.parametrize(
    ("runs", "line"),
    [
        ([(PASSED, 0)], "40 passed in 100.00s (0:01:40)"),
        ([(PASSED, 0), (MIXED, 1)], "2 failed, 1240 passed, 1 skipped, 2 errors in 170.50s (0:02:50)"),
        ([(PASSED, 124)], "40 passed, 1 error in 100.00s (0:01:40)"),
        ([(PASSED, 0), ("killed before its end", 137)], "40 passed, 1 error in 100.00s (0:01:40)"),
        ([("nothing was said", 0)], "1 error in 0.00s (0:00:00)"),
    ],
)
def test_the_last_line_is_the_sum_of_the_runs_and_what_was_cut_off_is_an_error(
    tmp_path: Path, runs: list[tuple[str, int]], line: str
) -> None:
    arguments = []
    for number, (closing, code) in enumerate(runs):
        log = tmp_path / f"log{number}"
        log.write_text(f"=== test session starts ===\n{closing}\nmake: done\n")
        arguments += [str(log), str(code)]

    said = subprocess.run([str(CLONE / ".ci" / "total"), *arguments], capture_output=True, text=True, check=True)

    assert said.stdout == f"===== {line} =====\n"
