"""Processes: how long a Python process takes, how much memory it holds at most, and what it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.rows import Row
from perennial.settings import CLONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One finished process."""

    seconds: float
    """From its start to its end, the interpreter's own included."""
    peak: int
    """The most bytes of memory that it held at once."""
    answer: Any
    """The JSON of its last line."""


def run_process(*arguments: str, environment: Mapping[str, str] | None = None) -> Measured:
    """Run `python arguments` to its end. Raises RuntimeError with what it wrote when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder) / "out", Path(folder) / "errors"
        with out.open("wb") as stdout, errors.open("wb") as stderr:
            start = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=CLONE,
                env=os.environ | dict(environment or {}),
                stdout=stdout,
                stderr=stderr,
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"python {' '.join(arguments)[:200]} failed:\n{errors.read_text()[-3000:]}")
        lines = out.read_text().splitlines()
    return Measured(
        seconds=seconds,
        peak=usage.ru_maxrss * 1024,
        answer=json.loads(lines[-1]) if lines else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How much longer one side takes than the others together."""

    value: float
    """The median of the turns'."""
    detail: str
    """The median seconds of each side, and the span of the turns' ratios, for a person."""

    def row(self, name: str, limit: float) -> Row:
        """The ratio beside the most that it may be."""
        return Row(name=name, value=self.value, limit=limit, ok=self.value <= limit, detail=self.detail)


def ratio_of(ours: Sequence[float], **beside: Sequence[float]) -> Ratio:
    """The ratio of `ours` to the sides `beside` it, from their seconds turn by turn.

    The sides of a turn run one after the other, so that a machine whose speed drifts slows both alike. Of three
    turns and more the median leaves out one that was disturbed on one side. Raises ValueError for sides of unlike
    numbers of turns.
    """
    turns = [mine / sum(others) for mine, *others in zip(ours, *beside.values(), strict=True)]
    sides = " and ".join(f"{median(seconds):.2f} s {name}" for name, seconds in beside.items())
    detail = f"{median(ours):.2f} s beside {sides}; by turn {min(turns):.2f} to {max(turns):.2f}"
    return Ratio(value=median(turns), detail=detail)


def seconds_of(runs: Iterable[Measured]) -> list[float]:
    """The time of each of repeated runs."""
    return [run.seconds for run in runs]


def largest(runs: Iterable[Measured]) -> int:
    """The most memory of repeated runs."""
    return max(run.peak for run in runs)


def refuse_different(graph: Measured, plain: Measured) -> None:
    """Raise RuntimeError unless both sides ended with the same: else they did not do the same work."""
    if graph.answer != plain.answer:
        differing = [name for name in graph.answer if graph.answer[name] != plain.answer.get(name)]
        raise RuntimeError(f"the graph and the plain script do not end with the same {', '.join(differing)}")
