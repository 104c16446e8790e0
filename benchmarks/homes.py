"""Homes: where one side of a benchmark keeps its state; made before the clock starts, as a person's own is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import run_process
from perennial.settings import home_at

PREPARE = """
import os
from perennial.settings import find_home
from resources.instance import open_instance
from resources.stores import open_operations
home = find_home(os.environ)
open_operations(home)
open_instance(home, os.environ).dispose()
"""


def prepare_home(root: Path) -> dict[str, str]:
    """The environment of a home with its databases made and nothing in them."""
    environment = home_at(root).environment
    run_process("-c", PREPARE, environment=environment)
    return environment


@contextmanager
def fresh_home() -> Iterator[dict[str, str]]:
    """The environment of a home that is gone after the block."""
    with tempfile.TemporaryDirectory() as folder:
        yield prepare_home(Path(folder))
