"""House: one home with the real graph of one pipeline over it, for tests that materialize assets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.pipeline import build_assets
from cli.session import Session
from perennial.content import content_hash
from perennial.declaration import Pipeline
from perennial.graph.stages import data_assets
from perennial.settings import Home, home_at
from perennial.stores.clock import Clock
from perennial.stores.lake.tables import Tables
from perennial.stores.sources import Sources
from pipelines.delivery_eta import delivery_eta
from pipelines.discovery import Discovered
from resources.instance import open_instance
from resources.runs import RunResult, run_assets
from resources.stores import open_tables, resources
from resources.tags import Keys
from tests.eta import DATA
from tests.instances import furnish
from world.files import file_of, simulate

LEAN = {
    "assets.validation:MANY": 2.0,
    "assets.validation:PICTURES": 1,
    "assets.labels:PICTURES": 1,
    "assets.summary:PICTURES": 1,
}
"""One picture a run, and Great Expectations' pages of blocked partitions only: the rest is half of a backfill."""


@dataclass(frozen=True, kw_only=True)
class House:
    """A home, its Dagster instance, and the graph of `pipeline` as the code location builds it."""

    home: Home
    instance: dg.DagsterInstance
    pipeline: Pipeline = delivery_eta
    environment: Mapping[str, str] | None = None
    clock: Clock | None = None
    """The time of its runs, where that is not the machine's."""
    illustrated: bool = False
    """Whether its runs draw every picture and page; otherwise they are `LEAN`."""

    @cached_property
    def definitions(self) -> dg.Definitions:
        stores = {**resources(), **({} if self.clock is None else {"clock": self.clock})}
        return dg.Definitions(assets=build_assets(self.pipeline), resources=stores, executor=dg.in_process_executor)

    @cached_property
    def tables(self) -> Tables:
        return open_tables(self.home)

    @property
    def session(self) -> Session:
        """What a command works with."""
        discovered = Discovered(pipelines=(self.pipeline,), broken=())
        return Session(home=self.home, instance=self.instance, definitions=self.definitions, discovered=discovered)

    @property
    def sources(self) -> Sources:
        return Sources(home=self.home.root, environment=self.environment or {}, state=self.home)

    def declared_as(self, **changes: Any) -> House:
        """The same home under a changed declaration."""
        return replace(self, pipeline=replace(self.pipeline, **changes))

    def run(self, *names: str, keys: Keys, tags: Mapping[str, str] | None = None) -> RunResult:
        """Execute assets by their names, as the UI would; the data assets when none is named."""
        with pytest.MonkeyPatch.context() as patch, lowered({} if self.illustrated else LEAN):
            for name, value in {**self.home.environment, **(self.environment or {})}.items():
                patch.setenv(name, value)
            return run_assets(
                self.instance,
                self.definitions,
                [self.key(name) for name in names or data_assets(self.pipeline)],
                keys,
                tags=tags or {},
            )

    def key(self, name: str) -> dg.AssetKey:
        return dg.AssetKey([self.pipeline.name, name])

    def materialized(self, name: str, run_id: str | None = None) -> list[str]:
        """The partitions of which a materialization was reported, in order; of one run where it is named."""
        found = self.instance.fetch_materializations(self.key(name), limit=1_000).records
        events = [r.event_log_entry for r in found if run_id is None or r.event_log_entry.run_id == run_id]
        return sorted(str(e.dagster_event.partition) for e in events if e.dagster_event)

    def evaluations(self, name: str, check: str, run_id: str) -> dict[str | None, dg.AssetCheckEvaluation]:
        """The evaluation of each partition by `check` in one run."""
        logs = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        found = [e.dagster_event.asset_check_evaluation_data for e in logs if e.dagster_event]
        return {e.partition: e for e in found if (e.asset_key, e.check_name) == (self.key(name), check)}

    def hashes(self, names: Sequence[str] = DATA) -> dict[str, dict[str, str]]:
        """By table and partition: the content hash of the rows that a reader of the newest revision gets now."""
        read = self.tables.read
        return {
            name: {
                key: content_hash(read(self.pipeline, name, [key])) for key, record in records.items() if record.rows
            }
            for name in names
            for records in [self.tables.records(self.pipeline, name)]
        }

    def versions(self) -> dict[str, int | None]:
        """The newest version of each data table in the lake."""
        return {name: self.tables.lakehouse.version(self.pipeline.table(name)) for name in DATA}

    def file(self, day: str) -> Path:
        return file_of(self.sources.folder(self.pipeline), date.fromisoformat(day))

    def rewrite(self, day: str, *changes: pl.Expr, drop: Sequence[str] = ()) -> None:
        """Change columns of the file of `day`."""
        rows = pl.read_parquet(self.file(day)).with_columns(*changes).drop(*drop)
        rows.write_parquet(self.file(day))


@contextmanager
def lowered(limits: Mapping[str, Any]) -> Iterator[None]:
    """Other values of module attributes, by `module:name`, so that few rows are many."""
    with pytest.MonkeyPatch.context() as patch:
        for path, value in limits.items():
            module, name = path.split(":")
            patch.setattr(f"{module}.{name}", value)
        yield


@contextmanager
def open_house(
    root: Path, *, pipeline: Pipeline = delivery_eta, clock: Clock | None = None, **environment: str
) -> Iterator[House]:
    """The house in folder `root`, its instance open."""
    home = home_at(root)
    furnish(home)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in home.environment.items():
            patch.setenv(name, value)
        with open_instance(home, os.environ) as instance:
            yield House(home=home, instance=instance, pipeline=pipeline, environment=environment, clock=clock)


@contextmanager
def copy_of(template: Path, root: Path, *, pipeline: Pipeline = delivery_eta) -> Iterator[House]:
    """A house of its own in `root` that begins with the state of another, which is closed."""
    shutil.copytree(template, root, symlinks=True)
    with open_house(root, pipeline=pipeline) as house:
        yield house


def simulate_days(root: Path, first: str, last: str, **city: Any) -> None:
    """Let the city write its files where `delivery_eta` reads them."""
    folder = Sources(home=root, environment={}).folder(delivery_eta)
    simulate(folder, date.fromisoformat(first), date.fromisoformat(last), **city)
