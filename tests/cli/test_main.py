"""Main: the command answers at once, and an error is one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from perennial.settings import CLONE
from tests.cli.conftest import Command

HEAVY = ("dagster", "mlflow", "torch", "sklearn", "great_expectations", "evidently", "fastapi", "sqlalchemy")


def test_help_loads_nothing_heavy() -> None:
    code = f"import sys, cli.main; sys.exit(', '.join(set({HEAVY!r}) & set(sys.modules)))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert loaded.stderr.strip() == ""


def test_help_names_every_command(perennial: Command) -> None:
    said = perennial("--help")

    assert said.code == 0
    for command in ("simulate", "backfill", "train", "serve", "status", "rollback", "up", "demo"):
        assert command in said.output


UNKNOWN = "found 'nope', expected delivery_eta, hotel_cancellation, taxi_eta"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["backfill", "nope", "2024-01-01", "2024-01-02"], UNKNOWN),
        (["train", "nope", "2024-01-01"], UNKNOWN),
        (["rollback", "nope"], UNKNOWN),
        (["simulate", "--until", "tomorrow"], "not a day, found 'tomorrow', expected such as 2024-02-29"),
        (["simulate", "--until", "2031-01-01"], "found 2031-01-01, expected a day from 2024-01-01"),
        (["simulate", "--until", "2024-01-02", "--pipeline", "taxi_eta"], "its source is not simulated"),
        (["backfill", "delivery_eta", "2024-1-1", "2024-01-02"], "not a partition, found '2024-1-1'"),
        (["backfill", "delivery_eta", "2024-01-03", "2024-01-02"], "ends before it begins"),
        (["backfill", "taxi_eta", "2023-01", "2023-02"], "TAXI_ETA_SOURCE"),
        (["train", "delivery_eta", "2023-12-31"], "no such partition, found 2023-12-31"),
    ],
)
def test_a_wrong_argument_is_one_line_that_says_what_was_expected(
    perennial: Command, arguments: list[str], expected: str
) -> None:
    said = perennial(*arguments)

    assert said.code == 1
    assert expected in said.errors
    assert len(said.errors.strip().splitlines()) == 1
    assert "Traceback" not in said.errors


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PERENNIAL_HOME", "/proc/nowhere", "the folder of all state cannot be made"),
        ("PERENNIAL_OPERATIONS_URL", "garbage", "no operations database is known at this address"),
        ("PERENNIAL_OPERATIONS_URL", "postgresql://127.0.0.1:1/db", "the operations database cannot be opened"),
        (
            "PERENNIAL_OPERATIONS_URL",
            "sqlite:////proc/nowhere/operations.db",
            "the operations database cannot be opened",
        ),
        ("PERENNIAL_OPERATIONS_URL", f"sqlite:///{CLONE}", "unable to open database file"),
        ("PERENNIAL_OPERATIONS_URL", f"sqlite:///{CLONE}/README.md", "file is not a database"),
        ("PERENNIAL_ONLINE_STORE", "redis://:a[b@host/0", "no online store is known at this address"),
    ],
)
@pytest.mark.parametrize("arguments", [["status"], ["train", "delivery_eta", "2024-01-02"]])
def test_a_setting_that_leads_nowhere_is_one_line(
    perennial: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)

    said = perennial(*arguments)

    assert said.code == 1
    assert expected in said.errors
    assert len(said.errors.strip().splitlines()) == 1
