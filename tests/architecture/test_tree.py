"""Tree: what may stand in a committed file, and how large it may be."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from perennial.settings import CLONE, TELEMETRY_OFF

PACKAGES = ("assets", "benchmarks", "cli", "perennial", "pipelines", "resources", "sensors", "serving", "world")
STOP = 300
"""Lines of a module at which it says two things."""
ABSOLUTE = re.compile(r"(?<![\w.~$}])/(?:work|root|home|opt|Users|mnt)/[\w.]")
REGISTRY = re.compile("|".join(re.escape(".".join(parts)) for parts in [("pypi", "org"), ("pythonhosted", "org")]))
SEARCHED = re.compile(r"\.legend\((?!.*\bloc=)")
"""A legend without a place: matplotlib looks for one, and warns when that takes it a second."""
NO_TEXT = {".png", ".svg", ".parquet", ".gz", ".zip", ".ico"}


def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CLONE, capture_output=True, check=True, text=True)
    paths = [CLONE / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix not in NO_TEXT]


def offences(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(CLONE)}:{number}: {line.strip()}"
        for path in committed()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if path != Path(__file__) and pattern.search(line)
    ]


def names(lines: list[str]) -> set[str]:
    return {re.split(r"[=<>\[; ]", line, maxsplit=1)[0].lower().replace("_", "-") for line in lines if line.strip()}


def pin(line: str) -> str:
    return line.lower().replace("_", "-")


def requirements(name: str) -> list[str]:
    lines = [line.partition("#")[0].strip() for line in (CLONE / name).read_text().splitlines()]
    return [line for line in lines if line]


def test_no_committed_file_holds_an_absolute_path_of_a_machine() -> None:
    assert offences(ABSOLUTE) == []


def test_no_committed_file_names_a_package_registry() -> None:
    assert offences(REGISTRY) == []


def test_no_legend_is_left_to_find_its_place() -> None:
    assert offences(SEARCHED) == []
    assert SEARCHED.search("axes.legend(frameon=False)")


@pytest.mark.parametrize("line", ["x = '/work/main'", "see /root/.pyenv", "file:///opt/wheels"])
def test_an_absolute_path_would_be_found(line: str) -> None:
    assert ABSOLUTE.search(line)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_longer_than_it_can_be_read(package: str) -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (CLONE / package).rglob("*.py")}

    assert {str(path.relative_to(CLONE)): n for path, n in lengths.items() if n > STOP} == {}


def test_the_lock_holds_exact_versions_only() -> None:
    assert [line for line in requirements("requirements.lock") if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_the_lock_holds_all_that_is_required() -> None:
    project = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]
    wheel = [*project["dependencies"], *project["optional-dependencies"]["training"]]

    assert names(wheel) - names(requirements("requirements.in")) == set()
    assert names(requirements("requirements.in")) - names(requirements("requirements.lock")) == set()
    exact = {pin(line) for line in requirements("requirements.in") if "==" in line}
    assert exact - {pin(line) for line in requirements("requirements.lock")} == set()


def test_the_makefile_turns_off_the_same_telemetry() -> None:
    makefile = (CLONE / "Makefile").read_text()

    exported = dict(re.findall(r"^export (\w+) := (\w+)$", makefile, re.MULTILINE))

    assert exported == dict(TELEMETRY_OFF)
