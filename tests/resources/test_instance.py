"""Instance: what the shipped configuration promises, asked of Dagster itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dagster import DagsterInstance

from perennial.settings import Home
from resources.instance import LAPTOP, open_instance, prepare_dagster_home


def test_preparing_twice_writes_once(home: Home) -> None:
    config = prepare_dagster_home(home) / "dagster.yaml"
    written = config.stat().st_mtime_ns

    prepare_dagster_home(home)

    assert config.read_bytes() == LAPTOP.read_bytes()
    assert config.stat().st_mtime_ns == written
    assert [path.name for path in home.dagster.iterdir()] == ["dagster.yaml"]


def test_a_changed_configuration_replaces_the_old(home: Home, tmp_path: Path) -> None:
    prepare_dagster_home(home)
    changed = tmp_path / "changed.yaml"
    changed.write_text("telemetry: {enabled: false}\n")

    config = prepare_dagster_home(home, template=changed) / "dagster.yaml"

    assert config.read_text() == changed.read_text()


@pytest.fixture
def instance(home: Home, monkeypatch: pytest.MonkeyPatch) -> DagsterInstance:
    for name in home.environment:
        monkeypatch.setenv(name, "")
    return open_instance(home, os.environ)


def test_all_of_the_instance_lies_in_the_home(instance: DagsterInstance, home: Home) -> None:
    with instance:
        assert instance.root_directory == str(home.dagster)
        assert (home.dagster / "schedules").is_dir()


def test_dagster_reports_nothing_to_its_makers(instance: DagsterInstance) -> None:
    with instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled


def test_a_crashed_run_is_found_and_tried_again_and_a_failed_step_is_not(instance: DagsterInstance) -> None:
    with instance:
        assert instance.run_monitoring_enabled
        assert instance.run_launcher.supports_check_run_worker_health
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries == 2
        assert not instance.run_retries_retry_on_asset_or_op_failure


def test_at_most_two_runs_work_at_once(instance: DagsterInstance) -> None:
    with instance:
        queue = instance.get_concurrency_config().run_queue_config

        assert queue is not None
        assert queue.max_concurrent_runs == 2
