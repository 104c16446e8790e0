"""Hints: every command that a message names can be given as it is written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from cli.main import app
from perennial.settings import CLONE

COMMANDS = typer.main.get_command(app)
FILES = [
    path
    for folder in ("assets", "cli", "perennial", "resources", "sensors", "serving")
    for path in sorted((CLONE / folder).rglob("*.py"))
]
COMMAND = re.compile(r"(?<!from )\bperennial ([a-z]+)([^;,`]*)")
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")


def written(node: ast.expr) -> str:
    """A text as it is written, with `...` for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(written, node.values))
    return str(node.value) if isinstance(node, ast.Constant) else "..."


def texts(tree: ast.AST) -> Iterator[str]:
    """Every text of a module that is no docstring."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            yield written(node)
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            yield from texts(node)


def hints(tree: ast.AST) -> Iterator[str]:
    """The texts of a module's hints."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "hint":
            yield from texts(node)


def unknown(text: str) -> list[str]:
    """The commands that `text` names and that do not exist, and options that theirs do not take."""
    assert isinstance(COMMANDS, TyperGroup)
    found = []
    for name, rest in COMMAND.findall(text):
        command = COMMANDS.commands.get(name)
        options = {option for each in (command.params if command else []) for option in each.opts}
        found += [f"perennial {name}"] if command is None else []
        found += [f"perennial {name} {option}" for option in OPTION.findall(rest) if option not in options]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CLONE)))
def test_every_command_and_option_that_a_message_names_exists(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert [problem for text in texts(tree) for problem in unknown(text)] == []
    assert [text for text in hints(tree) if OPTION.search(COMMAND.sub("", text))] == [], "an option of which command?"


def test_a_command_that_does_not_exist_and_an_option_of_another_are_found() -> None:
    tree = ast.parse('refuse(hint=f"perennial backfill {name} --everything; perennial mend"); say("backfill --all")')

    assert [problem for text in texts(tree) for problem in unknown(text)] == [
        "perennial backfill --everything",
        "perennial mend",
    ]
    assert next(hints(tree)).startswith("perennial backfill ... --everything")
