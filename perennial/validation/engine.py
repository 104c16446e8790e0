"""Engine: Great Expectations, imported when something is to be judged, without files, telemetry or progress bars."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_importing = threading.Lock()


def import_beside() -> None:
    """Begin to import Great Expectations in a thread, so that its seconds pass while rows are written.

    A process that ends before that waits for it: an interpreter that ends in the middle of an import may crash.
    """
    import sqlalchemy.orm  # noqa: F401 - half imported in one thread, it breaks SQLAlchemy's core in the others

    threading.Thread(target=great_expectations, name="import of Great Expectations").start()


def great_expectations() -> tuple[Any, Any]:
    """Great Expectations and a batch definition for frames in memory: no files, telemetry or progress bars."""
    with _importing:
        return _imported()


@cache
def _imported() -> tuple[Any, Any]:
    with _uncollected():  # no filter of warnings here: those of all threads are one
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

    logging.captureWarnings(False)  # importing it turns Python's warnings into log lines for the whole process
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    config = DataContextConfig(
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
        store_backend_defaults=InMemoryStoreBackendDefaults(),
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    asset = context.data_sources.add_pandas("perennial").add_dataframe_asset("rows")
    return gx, asset.add_batch_definition_whole_dataframe("all")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without a look for garbage: an import makes a million objects and leaves none, and each look costs more."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
