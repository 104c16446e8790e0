"""Blocks: every code block of the documentation runs, in the order in which a newcomer reads it.

In a copy of the working tree, so that a page may add a pipeline and its state is nobody's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from perennial.settings import CLONE
from tests.docs.pages import GUIDES, README, Block, blocks_of

PAGES = [README, *GUIDES]
SERVE, ADDRESS = "perennial serve", "http://127.0.0.1:8000"
ELSEWHERE = {
    "make demo": "tests/docs/test_demo.py",
    "make test": ".ci/run",
}
"""Commands that cost too much here, each with what runs it."""
SHOWN = ("text", "json")
"""Languages of what is only shown; a `json` block is what the block before it printed."""


@dataclass(kw_only=True)
class Reader:
    """A newcomer with a clone of their own, who does what the pages say."""

    clone: Path
    address: str = ""
    server: subprocess.Popen[str] | None = None
    done: list[Path] = field(default_factory=list)
    printed: str = ""

    @property
    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PERENNIAL_", "DAGSTER_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**ours, "PATH": path, "PYTHONPATH": str(self.clone), "COLUMNS": "200"}

    def read_up_to(self, page: Path) -> None:
        """Do what the pages before `page`, and then itself, say."""
        for each in PAGES[: PAGES.index(page) + 1]:
            if each not in self.done:
                self.done.append(each)
                for block in blocks_of(each):
                    self.do(block)

    def do(self, block: Block) -> None:
        """Run, write or compare one block."""
        if block.language == "python" and block.text.startswith("# pipelines/"):
            (self.clone / block.text.splitlines()[0].removeprefix("# ")).write_text(block.text)
        elif block.language == "python":
            self.run([sys.executable, "-c", block.text], block)
        elif block.language == "bash" and block.commands == [SERVE]:
            self.serve()
        elif block.language == "bash" and not set(block.commands) <= set(ELSEWHERE):
            self.serve()
            script = block.text.replace(ADDRESS, self.address)
            self.run(["bash", "-euo", "pipefail", "-c", script], block)
        elif block.language == "json":
            assert alike(json.loads(block.text), json.loads(self.printed.splitlines()[-1])), f"{block}: {self.printed}"

    def run(self, command: list[str], block: Block) -> None:
        done = subprocess.run(
            command, cwd=self.clone, env=self.environment, capture_output=True, text=True, check=False, timeout=280
        )
        assert done.returncode == 0, f"{block} ends with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        self.printed = done.stdout

    def serve(self) -> None:
        """Start the model server once, on any free port."""
        if self.server is not None:
            return
        self.server = subprocess.Popen(
            [*SERVE.split(), "--port", "0"],
            cwd=self.clone,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.server.stdout is not None
        self.address = self.server.stdout.readline().strip()


def alike(shown: Any, printed: Any) -> bool:
    """Whether two answers have the same fields, of the same types; texts of an error are the same."""
    if isinstance(shown, dict) and isinstance(printed, dict):
        same = "error" not in shown or shown == printed
        return same and set(shown) == set(printed) and all(alike(value, printed[name]) for name, value in shown.items())
    if isinstance(shown, list) and isinstance(printed, list):
        return len(shown) == len(printed) and all(map(alike, shown, printed))
    return type(shown) is type(printed)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Return a reader at the beginning."""
    if shutil.which("curl") is None:
        (pytest.fail if os.environ.get("PERENNIAL_CI") == "1" else pytest.skip)("no curl; apt-get install curl")
    clone = tmp_path_factory.mktemp("reader") / "clone"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CLONE, capture_output=True, check=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.split("\0"):
        if name and not name.startswith("tests/") and (CLONE / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CLONE / name, clone / name)
    reader = Reader(clone=clone)
    yield reader
    if reader.server is not None:
        reader.server.terminate()
        reader.server.communicate(timeout=30)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_says_can_be_done(page: Path, reader: Reader) -> None:
    reader.read_up_to(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_run_written_or_only_shown(page: Path) -> None:
    assert {block.language for block in blocks_of(page)} <= {"bash", "python", *SHOWN}


@pytest.mark.parametrize("cover", sorted(set(ELSEWHERE.values())))
def test_what_is_not_run_here_is_run_elsewhere(cover: str) -> None:
    assert (CLONE / cover).is_file()


def test_no_command_is_excused_that_no_page_names() -> None:
    named = {command for page in PAGES for block in blocks_of(page) for command in block.commands}

    assert set(ELSEWHERE) - named == set()


def test_an_answer_with_another_field_or_type_is_not_alike() -> None:
    assert alike({"ids": ["a"], "n": 1.5}, {"ids": ["b"], "n": 2.5})
    assert not alike({"ids": ["a"]}, {"ids": ["a"], "more": 1})
    assert not alike({"n": 1}, {"n": "1"})
    assert not alike({"error": "one"}, {"error": "two"})
