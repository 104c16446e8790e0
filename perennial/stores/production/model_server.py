"""Model server: one bundle behind a real server process, to prove that HTTP gives the same answers."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.bundle.bundle import Bundle
from perennial.errors import BundleError

if TYPE_CHECKING:
    import numpy as np

_ROWS_A_REQUEST = 200
_SECONDS_TO_START = 60.0


def predict_over_http(bundle: Bundle, rows: pl.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One prediction a row, asked from a server of this bundle alone. Raises BundleError when it refuses one."""
    import httpx
    import numpy as np

    answers: list[float] = []
    instances = to_instances(rows, bundle)
    with running_server(bundle) as address, httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        for start in range(0, len(instances), _ROWS_A_REQUEST):
            request = {"instances": instances[start : start + _ROWS_A_REQUEST]}
            answer = client.post(f"/v1/models/{bundle.pipeline}:predict", json=request)
            if answer.status_code != 200:
                raise BundleError(
                    "its server refuses golden rows",
                    where=f"bundle {bundle.sha256}",
                    found=answer.text[:300],
                    expected=f"an answer for rows {start} to {start + len(request['instances']) - 1}",
                )
            answers += answer.json()["predictions"]
    return np.array(answers, np.float64)


def to_instances(rows: pl.DataFrame, bundle: Bundle) -> list[dict[str, Any]]:
    """`rows` as the instances of a request, times as text."""
    columns = bundle.schema.columns
    times = [pl.col(c.name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f") for c in columns if c.kind == "datetime"]
    names = [*(c.name for c in columns), *(lookup.name for lookup in bundle.schema.lookups)]
    return rows.select(names).with_columns(times).to_dicts()


@contextmanager
def running_server(bundle: Bundle) -> Iterator[str]:
    """The address of a server process of `bundle` alone, which ends with the block, or with this process."""
    command = [sys.executable, "-m", "serving", "--bundle", str(bundle.path), "--port", "0", "--leashed"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)  # noqa: S603
    try:
        yield _address(process, bundle)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _address(process: subprocess.Popen[str], bundle: Bundle) -> str:
    """The first line that the server writes, by when it listens."""
    too_late = threading.Timer(_SECONDS_TO_START, process.kill)
    too_late.start()
    assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - both are pipes
    line = process.stdout.readline().strip()
    too_late.cancel()
    if not line:
        raise BundleError(
            "its server did not start", where=f"bundle {bundle.sha256}", found=process.stderr.read()[-500:] or "silence"
        )
    return line
