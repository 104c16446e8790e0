"""Fixtures and rules of every test: a home of its own, telemetry off, and no quiet skip in CI."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from perennial.settings import Home, home_at, turn_telemetry_off
from tests.servers import postgres_url, redis_url  # noqa: F401 - fixtures

turn_telemetry_off(os.environ)

MUST_RUN = ("browser", "real_data", "daemon", "postgres", "redis")
"""Markers whose tests may skip on a laptop, but never in CI."""

MEMORY, ROOM = Path("/dev/shm"), 2 * 2**30  # noqa: S108 - each test makes folders of its own in it
"""Linux's folder in memory, and what must be free there: a whole run keeps a tenth of it."""

LONG = ("journeys", "docs", "browser", "assets", "cli", "sensors", "world")
"""Folders of `tests/` with long files, in the order in which they begin: at the end no worker waits for another."""

quick = hypothesis_settings(
    deadline=None,
    derandomize=True,
    print_blob=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],  # as the deadline: a slow machine is no defect
)
hypothesis_settings.register_profile("quick", quick)
hypothesis_settings.register_profile("thorough", quick, max_examples=200)  # of `make test-slow`
hypothesis_settings.load_profile("quick")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return an empty home that nothing else uses."""
    return home_at(tmp_path / "home")


@pytest.fixture(autouse=True)
def _state_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests off the developer's own state."""
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    for name in ("TAXI_ETA_SOURCE", "TAXI_ZONES_SOURCE"):
        monkeypatch.setenv(name, str(tmp_path / "no files"))  # not the public ones, over the network


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of the real months, or skip with the reason."""
    named = os.environ.get("PERENNIAL_REAL_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "green_taxi").is_dir():
        pytest.skip(f"no green_taxi months in {folder}; set PERENNIAL_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def taxi_sources(real_data: Path) -> dict[str, str]:
    """Return the settings that place the real files of taxi_eta."""
    return {"TAXI_ETA_SOURCE": str(real_data / "green_taxi"), "TAXI_ZONES_SOURCE": str(real_data / "taxi_zones")}


def pytest_configure(config: pytest.Config) -> None:
    """Keep temporary folders in memory where there is room, so that no commit of SQLite waits for a disk."""
    if "TMPDIR" not in os.environ and _has_room(MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def _has_room(folder: Path) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    may_run = not os.statvfs(folder).f_flag & os.ST_NOEXEC  # some tests write a program and run it
    return may_run and shutil.disk_usage(folder).free > ROOM


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long."""
    ranks = {name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.nodeid.removeprefix("tests/").split("/")[0], len(ranks)))


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name bytes by their argument: a packed file tells the clock, and two workers must collect the same names."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip of a test that must run into a failure when PERENNIAL_CI=1."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("PERENNIAL_CI") == "1":
        marks = [name for name in MUST_RUN if item.get_closest_marker(name)]
        if marks:
            report.outcome = "failed"
            why = f"skipped under PERENNIAL_CI=1, though marked {', '.join(marks)}"
            report.longrepr = f"{item.nodeid}: {why}: {report.longrepr}"
    return report
