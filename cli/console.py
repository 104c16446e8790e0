"""Console: where a command speaks to a person."""

from __future__ import annotations

import io
import os
import sys

from rich.console import Console


def open_console() -> Console:
    """Standard output, on a descriptor of its own.

    Dagster redirects descriptor 1 into a run's log while a step works: progress must not go there.
    """
    try:
        copy = os.dup(sys.stdout.fileno())
    except (OSError, io.UnsupportedOperation):
        return Console()
    return Console(file=os.fdopen(copy, "w", buffering=1, encoding=sys.stdout.encoding, closefd=True))
