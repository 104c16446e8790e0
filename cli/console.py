"""Console: where a command speaks to a person."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def open_console() -> Iterator[Console]:
    """Standard output, on a descriptor of its own.

    Dagster redirects descriptor 1 into a run's log while a step works: progress must not go there.
    """
    try:
        copy = os.dup(sys.stdout.fileno())
    except (OSError, io.UnsupportedOperation):
        yield Console()
        return
    with os.fdopen(copy, "w", buffering=1, encoding=sys.stdout.encoding) as file:
        yield Console(file=file)
