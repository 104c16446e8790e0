"""Fixtures of the sensors' tests: a pipeline, its stores, and an instance of their own."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.partitioning import partitions_of
from perennial.bundle.bundle import FILES, seal
from perennial.declaration import Pipeline
from perennial.graph.lineage import STEPS, inputs_of
from perennial.graph.records import PartitionRecord
from perennial.graph.stages import MONITORING, training_assets
from perennial.policies import KofN, Retraining
from perennial.promotion.dossier import Dossier, Verdict
from perennial.settings import Home
from perennial.sources import Files
from perennial.time import Calendar, Daily, days
from resources.instance import open_instance
from resources.stores import STORES
from tests.clock import FixedClock
from tests.eta import DATA, declare_eta
from tests.instances import furnish

NOW = datetime(2024, 1, 31, 12, tzinfo=UTC)


def declare(source: Path) -> Pipeline:
    """A small pipeline of days from 2024-01-01 on, whose files lie in `source`."""
    return declare_eta(
        source=Files("{root}/{partition:%Y-%m-%d}.parquet", root=str(source)),
        time=Daily(start="2024-01-01", event_time="asked", timezone="Europe/Berlin"),
        features=[pl.col("zone"), pl.col("asked").dt.hour().alias("hour")],
        retraining=Retraining(new_labels=0.5, drift=KofN(k=2, n=3), cooldown=days(2)),
    )


@dataclass
class World:
    """What a sensor is given: a pipeline, the stores of a home, a clock and an instance."""

    pipeline: Pipeline
    home: Home
    instance: dg.DagsterInstance
    source: Path

    def __post_init__(self) -> None:
        self.stores = {name: opener(self.home) for name, opener in STORES.items()}
        self.stores["clock"] = FixedClock(NOW)

    @property
    def operations(self) -> Any:
        """The operations database."""
        return self.stores["operations"]

    def fill(self, *keys: str, rows: int = 100, revision: int = 1, blocked: tuple[str, ...] = ()) -> None:
        """Record every data table of `keys` as written and up to date, but for those that are `blocked`."""
        parents: dict[str, dict[str, str]] = {}
        for name, step in ((name, STEPS[name]) for name in DATA):
            hashes = {key: f"{name} {key} {revision}" for key in keys}
            parents[name] = hashes
            records = [
                PartitionRecord(
                    partition=key,
                    revision=revision,
                    content_hash=hashes[key],
                    rows=rows,
                    status="blocked" if key in blocked and name != "landed" else "ok",
                    reason="a test" if key in blocked else None,
                    inputs=inputs_of(self.pipeline, name, parents[step.parent][key] if step.parent else "file"),
                    provenance={"signature": "file"},
                )
                for key in keys
            ]
            self.operations.record_partitions("eta", name, records, at=NOW)

    def train(self, as_of: str, *, passed: bool = True, until: str | None = None) -> int | None:
        """Leave what a training as of `as_of` leaves, of a window that ends with `until` or else with it.

        Its version serves when it `passed`.
        """
        keys = self.pipeline.time.preceding(until or as_of, self.pipeline.windows.length)
        tables = {name: self.operations.partitions("eta", name) for name in ("features", "labels")}
        inputs = {f"{name}/{key}": tables[name][key].content_hash for name in tables for key in keys}
        content = f"training set {sorted(inputs.items())}"
        record = PartitionRecord(
            partition=as_of,
            revision=1,
            content_hash=content,
            rows=400,
            inputs=inputs,
            provenance={"content_hash": content},
        )
        self.operations.record_partitions("eta", "training_set", [record], at=NOW)
        manifest = {
            "pipeline": "eta",
            "as_of": as_of,
            "declaration_hash": self.pipeline.hash,
            "training_set": {"content_hash": content},
        }
        sha256 = self.stores["bundles"].put(seal(dict.fromkeys(FILES, b"{}"), manifest))
        proof = json.dumps({"sha256": sha256}).encode()
        self.stores["artifacts"].put("eta", as_of, "bundle", {"proof.json": proof})
        champion = self.operations.champion("eta")
        verdict = Verdict(gate="parity", outcome="passed" if passed else "refused", reason="a test")
        self.operations.save_dossier(
            Dossier(
                pipeline="eta",
                bundle_sha256=sha256,
                as_of=as_of,
                champion=champion.number if champion else None,
                verdicts=(verdict,),
            )
        )
        if not passed:
            return None
        windows = {"train": keys[:2], "validation": keys[2:3], "test": keys[3:]}
        attributes = {"labels": 400, "windows": windows}
        number = self.operations.register_version("eta", sha256, as_of, attributes, at=NOW)
        self.operations.release("eta", number, actor="test", reason="test", at=NOW)
        return int(number)

    def given(self, names: Iterable[str]) -> dict[str, Any]:
        """The stores among `names`."""
        return {name: self.stores[name] for name in names if name in self.stores}

    def definitions(self, **automation: Any) -> dg.Definitions:
        """The pipeline's assets by name and partitions, without bodies, and what starts them."""
        clocks = dict.fromkeys(MONITORING, self.pipeline.monitoring_time)
        names = (*DATA, *training_assets(self.pipeline), *MONITORING)
        assets = [_empty(name, clocks.get(name, self.pipeline.time)) for name in names]
        return dg.Definitions(assets=assets, resources=self.stores, **automation)

    def tick(self, sensor: dg.SensorDefinition, cursor: str | None = None) -> Any:
        """What `sensor` answers now."""
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=cursor,
            resources=self.given(sensor.required_resource_keys),
            definitions=self.definitions(sensors=[sensor]),
        ) as context:
            return sensor.evaluate_tick(context)

    def schedule_tick(self, schedule: dg.ScheduleDefinition, at: datetime) -> Any:
        """What `schedule` answers when it comes round."""
        repository = self.definitions(schedules=[schedule]).get_repository_def()
        with dg.build_schedule_context(
            instance=self.instance,
            resources=self.given(schedule.required_resource_keys),
            scheduled_execution_time=at,
            repository_def=repository,
        ) as context:
            return schedule.evaluate_tick(context)


def _empty(name: str, calendar: Calendar) -> dg.AssetsDefinition:
    @dg.asset(key=["eta", name], partitions_def=partitions_of(calendar))
    def empty() -> None: ...

    return empty


def end_runs(world: World, tick: Any, *, status: dg.DagsterRunStatus = dg.DagsterRunStatus.SUCCESS) -> None:
    """Leave what the daemon leaves of the runs that `tick` asked for, once they have ended."""

    @dg.job
    def anything() -> None: ...

    for request in tick.run_requests:
        tags = {**request.tags, "dagster/run_key": str(request.run_key)}
        world.instance.create_run_for_job(anything, tags=tags, status=status)


@pytest.fixture
def world(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A pipeline without data."""
    for name in home.environment:
        monkeypatch.setenv(name, "")
    source = tmp_path / "source"
    source.mkdir()
    furnish(home)
    with open_instance(home, os.environ) as instance:
        yield World(pipeline=declare(source), home=home, instance=instance, source=source)
