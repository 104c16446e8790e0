"""Instance: the one Dagster instance of a home, configured from a file of `deploy/`."""

import os
from collections.abc import MutableMapping
from pathlib import Path

from dagster import DagsterInstance

from perennial.settings import CLONE, Home
from perennial.stores.folders import locked, make_home

LAPTOP = CLONE / "deploy" / "dagster.yaml"


def prepare_dagster_home(home: Home, *, template: Path = LAPTOP) -> Path:
    """Make DAGSTER_HOME in `home` with the configuration of `template`; return it.

    Guarantees that a reader sees the whole file, and that equal content is not written again.
    """
    make_home(home.root)
    folder = home.dagster
    folder.mkdir(exist_ok=True)
    config, content = folder / "dagster.yaml", template.read_bytes()
    if not config.is_file() or config.read_bytes() != content:
        draft = folder / f".dagster.yaml.{os.getpid()}"
        draft.write_bytes(content)
        draft.replace(config)
    return folder


def open_instance(home: Home, environ: MutableMapping[str, str]) -> DagsterInstance:
    """Open the instance of `home`; `environ` becomes that of its runs. The caller closes it (`with`).

    One process at a time: two that make Dagster's databases at once would leave them with two versions.
    """
    folder = prepare_dagster_home(home)
    environ.update(home.environment)
    with locked(folder):
        return DagsterInstance.from_config(str(folder))
