"""Killing: work in a process of its own, side by side with others, or killed with signal 9 in the middle.

The processes are forked from one that has imported everything, so that what a kill costs is the work
before it.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.backfill import backfill_range
from cli.session import Session
from perennial import Linear, Median, Rolling, Windows
from perennial.declaration import Pipeline
from perennial.settings import turn_telemetry_off
from pipelines.delivery_eta import delivery_eta
from pipelines.discovery import Discovered
from resources.runs import end_lost_runs
from tests.assets.house import House, lowered, open_house
from tests.clock import FixedClock
from tests.pushes import pushed_pipeline

turn_telemetry_off(os.environ)

ENTITIES = replace(
    delivery_eta,
    aggregates=[
        Rolling(by="restaurant", of="label", how="mean", days=2),
        Rolling(by=("restaurant", "zone"), how="count", days=2, default=0.0),
    ],
)
TRAINED = replace(
    delivery_eta, candidates=[Median(by="restaurant"), Linear()], windows=Windows(train=3, validation=1, test=1)
)
"""Is trained in seconds."""
RIDES = pushed_pipeline()
AT = datetime(2024, 6, 1, 12, tzinfo=UTC)
"""When the backfills take place, so that corrected rows are known at the same time in each."""
NEVER = -1
IMPORTED = ["assets.pipeline", "cli.backfill", "feast", "great_expectations", "matplotlib.pyplot", "pytest"]
"""Before the fork. No declaration may be: its expressions start the threads of Polars, which a fork would lose."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A backfill: of which pipeline, from where, over which partitions, with which limits lowered."""

    pipeline: str
    """Module and name, such as `pipelines.delivery_eta:delivery_eta`."""
    days: tuple[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    """As `lowered` takes them."""

    @property
    def declared(self) -> Pipeline:
        return _named(self.pipeline)

    def open(self, root: Path, stack: ExitStack) -> House:
        return stack.enter_context(
            open_house(root, pipeline=self.declared, clock=FixedClock(AT), **dict(self.environment))
        )

    def run(self, house: House) -> Mapping[str, str]:
        """What `perennial backfill` does: end what a crash left, compute what is not up to date; what is blocked."""
        with pytest.MonkeyPatch.context() as patch, lowered(self.limits):
            for name, value in {**house.home.environment, **self.environment}.items():
                patch.setenv(name, value)
            end_lost_runs(house.instance)
            session = Session(
                home=house.home,
                instance=house.instance,
                definitions=house.definitions,
                discovered=Discovered(pipelines=(house.pipeline,), broken=()),
            )
            return backfill_range(session, house.pipeline, *self.days, everything=False, console=Console(quiet=True))


def _named(path: str) -> Any:
    module, name = path.split(":")
    __import__(module)
    return getattr(sys.modules[module], name)


def count_moments(work: Work, root: Path) -> int:
    """Backfill to the end; return how often that touched its home."""
    here, there = mp.Pipe()
    process = context().Process(target=_backfill, args=(work, root, NEVER, there))
    process.start()
    there.close()
    said = here.recv()
    process.join()
    assert isinstance(said, int), said
    return said


def kill(work: Work, root: Path, moment: int, after: float) -> None:
    """Backfill until the home was touched `moment` times and so many seconds longer, and kill."""
    here, there = mp.Pipe()
    process = context().Process(target=_backfill, args=(work, root, moment, there))
    process.start()
    there.close()
    said = here.recv()
    assert said == "now", said
    process.join(after)
    process.kill()
    process.join()
    process.close()


def side_by_side(*tasks: tuple[Callable[..., Any], tuple[Any, ...]]) -> list[Any]:
    """Call each function with its arguments in a process of its own, all from one moment on; what they answer.

    One that fails, or whose process dies, is told with its reason when all have ended.
    """
    barrier = context().Barrier(len(tasks))
    ears, processes = [], []
    for function, arguments in tasks:
        here, there = mp.Pipe()
        processes.append(context().Process(target=_call, args=(barrier, there, function, arguments)))
        processes[-1].start()
        there.close()
        ears.append(here)
    answers = [_heard(ear) for ear in ears]
    for process in processes:
        process.join()
    told = [answer.why or f"died, exit code {p.exitcode}" for answer, p in zip(answers, processes, strict=True)]
    failed = [f"{task[0].__name__}: {why}" for task, why, p in zip(tasks, told, processes, strict=True) if p.exitcode]
    assert not failed, "\n".join(failed)
    return [answer.value for answer in answers]


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What a process returned, or why it could not."""

    value: Any = None
    why: str = ""


def _heard(ear: Connection) -> _Answer:
    try:
        answer: _Answer = ear.recv()
    except EOFError:  # its exit code says the rest
        return _Answer()
    return answer


def _call(barrier: Any, ear: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    barrier.wait()
    try:
        ear.send(_Answer(value=function(*arguments)))
    except BaseException:
        ear.send(_Answer(why=traceback.format_exc()))
        raise


def meet_at(door: str, barrier: Any) -> None:
    """Let this process wait for the others at the `barrier` when it first opens a file whose path ends with `door`."""
    met = False

    def look(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal met
        if event == "open" and not met and str(arguments[0]).endswith(door):
            met = True
            barrier.wait()

    sys.addaudithook(look)


def backfill(work: Work, root: Path) -> dict[str, str]:
    """Run the work over the home `root` to its end; what is blocked."""
    with ExitStack() as stack:
        return dict(work.run(work.open(root, stack)))


def context() -> Any:
    """Of the processes, their events and barriers."""
    forked = mp.get_context("forkserver")
    forked.set_forkserver_preload(IMPORTED)
    return forked


def _backfill(work: Work, root: Path, moment: int, ear: Connection) -> None:
    """In a process of its own; tells when it has touched its home so often, and goes on.

    A touch is a file opened, a database connected, a folder made: what Python's audit sees of it.
    """
    touched = 0

    def count(_: str, arguments: tuple[object, ...]) -> None:
        nonlocal touched
        if arguments and str(arguments[0]).startswith(str(root)):
            touched += 1
            if touched == moment:
                ear.send("now")

    try:
        with ExitStack() as stack:
            house = work.open(root, stack)
            sys.addaudithook(count)
            blocked = work.run(house)
            if moment == NEVER:
                ear.send(dict(blocked) or touched)
            elif touched < moment:
                ear.send(f"the backfill ended after {touched} of {moment} touches")
    except BaseException:
        ear.send(traceback.format_exc())
        raise
