"""New and infer: a pipeline is one module more, which loads, or says which question keeps it from loading."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from cli import new as module
from cli.infer import name_of
from perennial.settings import CLONE
from pipelines import discovery
from tests.cli.conftest import Command


@pytest.fixture
def pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of declarations that is nobody's."""
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Pipelines of a test."""\n')
    monkeypatch.setattr(discovery, "FOLDER", folder)
    monkeypatch.setattr(discovery.discover, "__defaults__", (folder,))
    return folder


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "rides_2024-01.csv"
    rows = {"ride": range(40), "zone": ["a", "b"] * 20, "started_at": ["2024-01-05 10:00:00"] * 40, "fare": range(40)}
    pl.DataFrame(rows).write_csv(path)
    return path


def test_a_new_pipeline_is_one_module_that_loads_and_passes_ruff(perennial: Command, pipelines: Path) -> None:
    said = perennial("new", "ride_eta")

    assert said.code == 0
    assert sorted(path.name for path in pipelines.iterdir()) == ["__init__.py", "ride_eta.py"]
    assert [p.name for p in discovery.discover(pipelines).pipelines] == ["ride_eta"]
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--config", str(CLONE / "pyproject.toml"), str(pipelines)]
        done = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_nothing_is_written_over(perennial: Command, pipelines: Path) -> None:
    (pipelines / "ride_eta.py").write_text("mine")

    said = perennial("new", "ride_eta")

    assert said.code == 1
    assert "the file is there already" in said.errors
    assert (pipelines / "ride_eta.py").read_text() == "mine"


@pytest.mark.parametrize("name", ["Ride", "1ride", "../ride", "discovery", "ride-eta", "class"])
def test_a_name_that_no_pipeline_can_have_is_refused(perennial: Command, pipelines: Path, name: str) -> None:
    said = perennial("new", name)

    assert said.code == 1
    assert "no name for a pipeline" in said.errors
    assert [path.name for path in pipelines.iterdir()] == ["__init__.py"]


def test_from_a_file_it_loads_once_the_label_is_told(perennial: Command, pipelines: Path, csv: Path) -> None:
    asked = perennial("new", "ride_price", "--from", str(csv))
    told = perennial("new", "ride_fare", "--from", str(csv), "--label", "fare")

    assert asked.code == 1
    assert "found 'QUESTION'" in asked.output
    assert told.code == 0, told.output + told.errors
    found = discovery.discover(pipelines)
    assert [p.name for p in found.pipelines] == ["ride_fare"]
    assert [m.name for m in found.broken] == ["ride_price"]


def test_infer_prints_or_writes_and_names_what_is_no_table(perennial: Command, csv: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.csv"
    page.write_text("<html><title>404 Not Found</title></html>")

    printed = perennial("infer", str(csv))
    written = perennial("infer", str(csv), "--write", str(tmp_path / "rides.py"))
    again = perennial("infer", str(csv), "--write", str(tmp_path / "rides.py"))
    wrong = [perennial("infer", str(page)), perennial("infer", str(tmp_path / "none.csv"))]
    unknown = perennial("infer", str(csv), "--label", "nope")

    assert printed.code == written.code == 0
    assert printed.output == (tmp_path / "rides.py").read_text()
    assert "the file is there already" in again.errors
    assert "an HTML page '404 Not Found'" in wrong[0].errors
    assert "No such file" in wrong[1].errors
    assert "no column 'nope'; the file has fare" in unknown.errors


def test_infer_refuses_a_label_or_a_name_that_would_make_no_pipeline(perennial: Command, csv: Path) -> None:
    odd = csv.rename(csv.with_name('a "{b}" 2024-01.csv'))

    printed = perennial("infer", str(odd), "--label", "fare")
    zone = perennial("infer", str(odd), "--label", "started_at")
    named = perennial("infer", str(odd), "--name", "my ride")

    assert printed.code == 0
    assert """'{root}/a "{{b}}" {partition:%Y-%m}.csv',""" in printed.output
    assert "no label in column 'started_at', which holds a time" in zone.errors
    assert "no name for a pipeline" in named.errors
    assert (zone.code, named.code) == (1, 1)


def test_infer_finds_the_separator_and_takes_what_it_is_told(perennial: Command, tmp_path: Path) -> None:
    lines = "ride;zone;closed_at;fare\n" + "".join(f"{n};Köln;2024-01-05;{n % 7}\n" for n in range(20))
    (tmp_path / "rides.csv").write_bytes(lines.encode("latin-1"))
    (tmp_path / "dots.csv").write_bytes(lines.replace(";", ":").encode())

    unreadable = perennial("infer", str(tmp_path / "rides.csv"))
    told = perennial("infer", str(tmp_path / "rides.csv"), "--encoding", "latin-1", "--event-time", "closed_at")
    dots = perennial("infer", str(tmp_path / "dots.csv"), "--separator", ":", "--label", "fare")
    nonsense = perennial("infer", str(tmp_path / "rides.csv"), "--separator", "::")

    assert "it is --encoding" in unreadable.errors
    assert 'format=Csv(separator=";", encoding="latin-1"),' in told.output
    assert 'event_time="closed_at"' in told.output
    assert 'format=Csv(separator=":"),' in dots.output
    assert "QUESTION: when did a row happen? closed_at sounds like an end." in dots.output
    assert nonsense.code != 0


def test_the_name_of_a_file_without_its_date_is_the_pipelines() -> None:
    assert name_of(Path("2024-01.csv")) == "data"
    assert name_of(Path("class.csv")) == "data_class"
    assert len(name_of(Path("x" * 200 + ".csv"))) <= 63
    assert name_of(Path("Rides (EU) 2024_01_02.csv.zip")) == "rides_eu"
    assert module.TEMPLATE.startswith('"""')
