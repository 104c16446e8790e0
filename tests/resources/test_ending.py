"""Ending: the interpreter's last collections have nothing to look at in any process of ours."""

from __future__ import annotations

import subprocess
import sys

import pytest

from perennial.settings import CLONE

LOOK = "import atexit, gc, sys; atexit.register(lambda: print('frozen' if gc.get_freeze_count() else 'not frozen'))"
"""What is registered first is called last."""


@pytest.mark.parametrize(
    "process",
    [
        pytest.param("import pipelines.definitions", id="code location"),
        pytest.param("sys.argv[1:] = ['--help']; from cli.main import main; main()", id="command"),
    ],
)
def test_nothing_is_left_to_collect_when_a_process_ends(process: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{LOOK}; {process}"], cwd=CLONE, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "frozen"
