"""Records: inference-log records for tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from perennial.stores.production.segments import Record, segments_in, whole_lines
from tests.bundles import an_instance


def a_record(number: int, *, partition: str | None = None, **instance: Any) -> Record:
    """The record named `id-{number}`, of a day that changes with every tenth."""
    at = datetime(2024, 3, 1, 12, tzinfo=UTC) + timedelta(days=number // 10 % 5, seconds=number)
    return Record(
        id=f"id-{number}",
        at=at,
        event_time=at,
        pipeline="rides",
        version=1,
        bundle="b" * 64,
        partition=partition or f"{at:%Y-%m-%d}",
        prediction=float(number),
        latency_ms=0.5,
        instance=an_instance(number, **instance),
        features={"distance": 1.5, "place": None},
    )


def ids_in(folder: Path) -> list[str]:
    """The ids of the whole lines of every segment in `folder`."""
    return [json.loads(line)["id"] for path in segments_in(folder) for line in whole_lines(path, 0).splitlines()]
