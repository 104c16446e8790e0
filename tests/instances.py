"""Instances: Dagster's databases of an unused home, which take longer to make than most tests, made once a process."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from multiprocessing import parent_process
from pathlib import Path

import pytest

from perennial.settings import Home, home_at
from resources.instance import open_instance


def furnish(home: Home) -> None:
    """Put Dagster's databases, as they are when nothing has run, into a home without any.

    Processes that a test starts make their own: how several make them at once is a part of what it tests.
    """
    if parent_process() is None and not home.dagster.exists():
        shutil.copytree(_databases(), home.dagster)


@cache
def _databases() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="perennial-dagster-")
    atexit.register(folder.cleanup)
    home = home_at(Path(folder.name))
    with pytest.MonkeyPatch.context() as patch:
        for name in home.environment:
            patch.setenv(name, "")
        open_instance(home, os.environ).dispose()
    return home.dagster
