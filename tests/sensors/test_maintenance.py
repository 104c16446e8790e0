"""Maintenance: the daily job does what the command does, and says in its run what it kept."""

from __future__ import annotations

from sensors.maintenance import build_maintenance, maintenance
from tests.sensors.conftest import World


def test_the_daily_job_cleans_the_home(world: World) -> None:
    left = world.home.bundles / ".new-killed"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"123")

    result = maintenance.execute_in_process(instance=world.instance, resources=world.given(["home", "clock"]))

    assert result.success
    assert not left.exists()


def test_it_runs_every_night_unasked() -> None:
    schedule = build_maintenance()

    assert schedule.cron_schedule == "30 3 * * *"
    assert schedule.default_status.value == "RUNNING"
