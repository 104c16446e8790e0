"""Fixtures of the command line's tests: the command itself, in this process, as a person calls it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from perennial.settings import Home

Command = Callable[..., "Said"]


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    output: str
    errors: str


@pytest.fixture
def perennial(home: Home, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run `perennial` with some arguments on an empty home."""
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("DELIVERY_ETA_SOURCE", raising=False)
    before = dict(os.environ)

    def run(*arguments: str) -> Said:
        from cli.main import main

        monkeypatch.setattr(sys, "argv", ["perennial", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        output, errors = capfd.readouterr()
        return Said(code=int(ended.value.code or 0), output=output, errors=errors)

    yield run
    os.environ.clear()
    os.environ.update(before)
