"""Main: the `perennial` command; each of its commands is a module beside this one.

Dagster and everything heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys

import typer

from cli.acknowledge import acknowledge
from cli.backfill import backfill
from cli.catalogue import catalogue
from cli.infer import infer
from cli.maintain import maintain, retire
from cli.new import new
from cli.requeue import requeue
from cli.rollback import rollback
from cli.serve import serve
from cli.simulate import simulate
from cli.status import status
from cli.train import train
from perennial.errors import PerennialError
from perennial.settings import turn_telemetry_off
from resources.ending import end_at_once

app = typer.Typer(
    help="Keep machine-learning models fresh. All state lies under PERENNIAL_HOME.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def up() -> None:
    """Run the web UI, the daemon, the MLflow UI, the reports and the model server; Ctrl-C stops all."""
    from cli.up import up as run
    from perennial.settings import find_home
    from resources.instance import open_instance
    from resources.runs import end_lost_runs

    home = find_home(os.environ)
    with open_instance(home, os.environ) as instance:
        end_lost_runs(instance)
    raise typer.Exit(run(home))


def demo() -> None:
    """Run the whole loop in a few minutes: simulate, train, serve, drift, retrain."""
    from cli.demo import run_demo

    raise typer.Exit(run_demo())


for command in (
    infer,
    new,
    simulate,
    backfill,
    requeue,
    acknowledge,
    train,
    serve,
    status,
    catalogue,
    rollback,
    maintain,
    retire,
    up,
    demo,
):
    app.command()(command)


def main() -> None:
    """Run the command that the arguments name; an error of ours is one red line and exit code 1."""
    turn_telemetry_off(os.environ)
    end_at_once()
    try:
        app()
    except PerennialError as error:
        typer.secho(" ".join(str(error).split()), fg="red", err=True)
        sys.exit(1)
