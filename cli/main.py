"""Main: the `perennial` command; each of its commands is a module beside this one.

Dagster and everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys

import typer

from cli.backfill import backfill
from cli.demo import demo
from cli.rollback import rollback
from cli.serve import serve
from cli.simulate import simulate
from cli.status import status
from cli.train import train
from cli.up import up
from perennial.errors import PerennialError
from perennial.settings import turn_telemetry_off

app = typer.Typer(
    help="Keep machine-learning models fresh. All state lies under PERENNIAL_HOME.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (simulate, backfill, train, serve, status, rollback, up, demo):
    app.command()(command)


def main() -> None:
    """Run the command that the arguments name; an error of ours is one red line and exit code 1."""
    turn_telemetry_off(os.environ)
    try:
        app()
    except PerennialError as error:
        typer.secho(" ".join(str(error).split()), fg="red", err=True)
        sys.exit(1)
