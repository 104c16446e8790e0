"""Names: every file, link, setting, task and command that the documentation names exists, and is named at all."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from cli.main import app
from perennial import Column, Csv, Files, InferenceLog, JsonLines, Lookup, Parquet, Pushed, Sql, expect
from perennial.ingestion.answered import TOLD
from perennial.promotion.gates import GATES
from perennial.settings import CLONE, SETTINGS
from serving.metrics import Metrics
from tests.docs.pages import DECISIONS, GUIDES, OF_REAL_DATA, README, commands_of, prose_of, spans_of

PAGES = [README, CLONE / "CHANGELOG.md", *GUIDES, *OF_REAL_DATA, *DECISIONS]
FOLDERS = (
    "assets", "benchmarks", "cli", "deploy", "docs", "perennial", "pipelines", "resources", "sensors", "serving",
    "tests", "world",
)  # fmt: skip
OF_TESTS = {"PERENNIAL_REAL_DATA", "PERENNIAL_CI"}
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (CLONE / "Makefile").read_text(), re.MULTILINE))
COMMANDS = typer.main.get_command(app)
HEADINGS = ("Context", "Options", "Decision", "Consequence", "We would change our mind if")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def slug(heading: str) -> str:
    """The anchor that a heading gets on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", prose_of(page)) if "://" not in link]
    for link in links:
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page

        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in map(slug, headings), f"{page.name}: {link}"


@each_page
def test_every_file_that_is_named_exists(page: Path) -> None:
    paths = [span for span in spans_of(page) if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", span)]
    ours = [path for path in paths if path.split("/")[0] in FOLDERS and "/" in path]
    ours += [path for path in paths if re.fullmatch(r"[\w.-]+\.(toml|lock|in)", path)]

    assert [path for path in ours if not (CLONE / path).exists()] == []


@each_page
def test_every_setting_that_is_named_exists(page: Path) -> None:
    named = set(re.findall(r"\bPERENNIAL_[A-Z_]+", page.read_text()))

    assert named - set(SETTINGS) - OF_TESTS == set()


def test_every_expectation_and_kind_of_source_has_its_line_with_every_option() -> None:
    page = (CLONE / "docs" / "sources.md").read_text()
    public = {name: one for name, one in vars(expect).items() if inspect.isfunction(one) and name[0] != "_"}
    claims = [name for name, one in public.items() if one.__annotations__.get("return") == "Expectation"]
    options = [field.name for kind in (Files, Csv, Column) for field in dataclasses.fields(kind)]

    assert len(claims) > 10
    assert sorted(claims) == sorted(re.findall(r"^\| `expect\.(\w+)\(", page, re.MULTILINE))
    assert [one for one in options if one not in page] == []
    kinds = (Sql, Pushed, InferenceLog, Lookup, Parquet, JsonLines)
    assert [kind.__name__ for kind in kinds if f"{kind.__name__}(" not in page] == []
    assert [name for name in TOLD if f"`{name}`" not in page] == []


@each_page
def test_every_metric_that_is_named_is_counted(page: Path) -> None:
    counted = Metrics().exposition().decode()

    assert [
        span for span in spans_of(page) if re.fullmatch(r"perennial_\w+", span) and f" {span} " not in counted
    ] == []


@each_page
def test_every_task_that_is_named_exists(page: Path) -> None:
    words = [command.split() for command in commands_of(page)]
    named = {word[1] for word in words if word[0] == "make" and len(word) > 1 and "=" not in word[1]}

    assert named - TARGETS == set()


@each_page
def test_every_command_that_is_named_can_be_given(page: Path) -> None:
    assert isinstance(COMMANDS, TyperGroup)
    for line in commands_of(page):
        command = re.sub(r"^(\w+=\S+ )+", "", line)
        if not command.startswith("perennial "):
            continue
        words = shlex.split(command)
        assert words[1] in COMMANDS.commands, f"{page.name}: {line}"
        if len(words) > 2:
            COMMANDS.commands[words[1]].make_context(words[1], list(words[2:]))


def test_every_command_and_task_is_named_somewhere() -> None:
    assert isinstance(COMMANDS, TyperGroup)
    said = {command for page in [README, *GUIDES, CLONE / "CHANGELOG.md"] for command in commands_of(page)}
    named = {word for command in said for word in command.split()[:2]}

    assert set(COMMANDS.commands) - named == set()
    assert {"demo", "test", "up", "check", "bench", "setup", "clean-state"} - named == set()


def test_every_gate_is_explained_to_scientists() -> None:
    assert set(GATES) - set(spans_of(CLONE / "docs" / "scientist.md")) == set()


def test_the_readme_is_at_most_150_lines() -> None:
    assert len(README.read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_a_decision_fits_one_page_and_says_all_five_things(page: Path) -> None:
    text = page.read_text()

    assert len(text.splitlines()) <= 50
    assert [heading for heading in HEADINGS if f"**{heading}" not in text] == []
    assert text.startswith(f"# {page.name[:4]}: ")


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [page.name[:4] for page in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]


def test_the_changelog_names_the_version() -> None:
    version = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]["version"]

    assert f"## {version}" in (CLONE / "CHANGELOG.md").read_text()
