"""Bikes: a file that nobody has declared becomes a pipeline that finds a day on which a sensor stood still."""

from __future__ import annotations

import io
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from cli.acknowledge import acknowledge_partition
from cli.train import RELEASED, train_as_of
from cli.verdicts import asking, kept_out
from perennial.declaration import Pipeline
from tests.assets.house import House, open_house

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

MONTHS = ("2011-01", "2012-12")
STOOD_STILL = "2012-08"
"""On the 17th `atemp` is 0.2424 for 24 hours, while `temp` goes on."""


@pytest.fixture(scope="module")
def proposed(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """What `perennial infer` makes of the file, unedited."""
    if not (real_data / "bike_sharing").is_dir():
        pytest.skip(f"no bike_sharing in {real_data}; set PERENNIAL_REAL_DATA")
    module, perennial = tmp_path_factory.mktemp("pipelines") / "bikes.py", Path(sys.executable).parent / "perennial"
    file = real_data / "bike_sharing" / "hour.csv"
    subprocess.run([perennial, "infer", file, "--label", "cnt", "--name", "bikes", "--write", module], check=True)
    pipeline = runpy.run_path(str(module))["bikes"]
    assert isinstance(pipeline, Pipeline)
    return pipeline


@pytest.fixture(scope="module")
def house(proposed: Pipeline, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("bikes")
    with open_house(root, pipeline=proposed, BIKES_SOURCE=str(real_data / "bike_sharing")) as opened:
        assert opened.run(keys=MONTHS).success
        yield opened


def test_the_month_whose_sensor_stood_still_is_kept_out_and_nothing_else(house: House) -> None:
    kept = kept_out(house.pipeline, house.tables)

    assert list(kept) == [STOOD_STILL]
    assert "atemp: far 3.23% of rows" in kept[STOOD_STILL]
    assert len(asking(house.pipeline, house.tables)) == 6, "as the guide to verdicts says"
    assert all(record.status == "ok" for record in house.tables.records(house.pipeline, "accepted").values())


def test_once_a_person_has_looked_at_it_a_model_is_trained_that_beats_the_baselines(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in house.home.environment.items():
        monkeypatch.setenv(name, value)
    said = io.StringIO()
    console = Console(file=said, width=200)

    acknowledge_partition(house.session, house.pipeline, STOOD_STILL, "of no weight")

    assert train_as_of(house.session, house.pipeline, MONTHS[1], console=console) == RELEASED, said.getvalue()
    assert "better than median, linear" in said.getvalue()
    assert "bikes: version 1 (as of 2012-12) serves" in said.getvalue()
