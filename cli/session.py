"""Session: one home, its Dagster instance and the code location, for a command that runs assets."""

from __future__ import annotations

import getpass
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.settings import Home, find_home

if TYPE_CHECKING:
    import dagster as dg

    from perennial.declaration import Pipeline
    from pipelines.discovery import Discovered


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a command works with; its runs are seen in the UI of the same home."""

    home: Home
    instance: dg.DagsterInstance
    definitions: dg.Definitions
    discovered: Discovered

    def pipeline(self, name: str) -> Pipeline:
        """The pipeline `name`. Raises DeclarationError with the names there are."""
        return self.discovered.named(name)


@contextmanager
def open_session() -> Iterator[Session]:
    """Open the instance of the home that the environment names; runs that a crash left are ended first."""
    logging.getLogger("dagster").setLevel(logging.ERROR)
    from pipelines.definitions import defs, discovered
    from resources.instance import open_instance
    from resources.runs import end_lost_runs
    from resources.stores import open_tables

    home = find_home(os.environ)
    open_tables(home)  # what the settings name and is not there is told here, not by each step
    with open_instance(home, os.environ) as instance:
        end_lost_runs(instance)
        yield Session(home=home, instance=instance, definitions=defs, discovered=discovered)


def actor() -> str:
    """Who asks, for the ledger and the tags of runs."""
    return f"{getpass.getuser()} on the command line"
