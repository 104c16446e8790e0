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
from typing import Any

from perennial.settings import CLONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One finished process."""

    seconds: float
    """From its start to its end, the interpreter's own included."""
    busy: float
    """Seconds of processor time, its threads together: what other work on the machine changes least."""
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
        busy=usage.ru_utime + usage.ru_stime,
        peak=usage.ru_maxrss * 1024,
        answer=json.loads(lines[-1]) if lines else None,
    )


def fastest(runs: Iterable[Measured]) -> float:
    """The least time of repeated runs: other work on the machine only ever adds to it."""
    return min(run.seconds for run in runs)


def told(runs: Sequence[Measured]) -> str:
    """The least time of repeated runs, for a person."""
    return f"{fastest(runs):.1f} s ({min(run.busy for run in runs):.1f} of the processor)"


def largest(runs: Iterable[Measured]) -> int:
    """The most memory of repeated runs."""
    return max(run.peak for run in runs)


def refuse_different(graph: Measured, plain: Measured) -> None:
    """Raise RuntimeError unless both sides ended with the same: else they did not do the same work."""
    if graph.answer != plain.answer:
        differing = [name for name in graph.answer if graph.answer[name] != plain.answer.get(name)]
        raise RuntimeError(f"the graph and the plain script do not end with the same {', '.join(differing)}")
