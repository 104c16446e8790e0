"""Daemon: a file that lands is computed by the real daemon, with nobody asking, and once."""

import os
import time
from datetime import date

import dagster as dg
import pytest

from cli.services import daemon
from cli.up import run_stack
from perennial.settings import Home
from pipelines.discovery import discover
from resources.instance import open_instance
from resources.stores import STORES, open_tables
from resources.tags import REASON
from tests.eta import DATA
from world.files import simulate

PATIENCE = 240
DAYS = ("2024-01-01", "2024-01-03")


@pytest.mark.daemon
@pytest.mark.timeout(400)
def test_files_that_land_are_computed_once_and_the_daemon_says_why_it_does_not_train(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    pipeline = discover().named("delivery_eta")
    simulate(STORES["sources"](home).folder(pipeline), date(2024, 1, 1), date(2024, 1, 3))
    tables = open_tables(home)

    def computed() -> bool:
        said = [entry.reason for entry in tables.operations.ledger("delivery_eta", kind="not_now")]
        return any("history: 3 complete partitions, needs 42" in reason for reason in said)

    with run_stack(home, {"daemon": daemon}, say=lambda _: None) as stack:
        deadline = time.monotonic() + PATIENCE
        while not computed():
            stack.check()
            assert time.monotonic() < deadline
            time.sleep(0.2)

    assert {name: len(tables.records(pipeline, name)) for name in DATA} == dict.fromkeys(DATA, 3)
    with open_instance(home, os.environ) as instance:
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.SUCCESS
        assert run.tags["dagster/sensor_name"] == "delivery_eta_arrivals"
        assert run.tags[REASON] == "3 new in the source: 2024-01-01 to 2024-01-03"
