"""Model server: golden rows over HTTP, from a process that ends with the proof."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest

from perennial.bundle.bundle import open_bundle
from perennial.errors import BundleError
from perennial.prediction.scoring import Predictor
from perennial.stores.models.bundles import BundleStore
from perennial.stores.production.model_server import predict_over_http, running_server
from tests.bundles import looking_up_bundle, small_bundle


def test_rows_get_the_same_answers_over_http_as_in_batch(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    bundle = store.get(store.put(small_bundle(2.0)))
    rows = pl.concat([bundle.golden.drop("prediction")] * 6)

    over_http = predict_over_http(bundle, rows)

    assert over_http.tolist() == Predictor(bundle).predict(rows).tolist()
    assert np.allclose(over_http, np.tile(bundle.golden["prediction"].to_numpy(), 6))


def test_lookups_travel_with_the_rows_nulls_included(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    bundle = store.get(store.put(looking_up_bundle(2.0)))
    half = pl.int_range(pl.len()) % 2 == 0
    rows = bundle.golden.with_columns(pl.when(half).then("zone_mean_7d"), zone_count_7d=pl.lit(7.0, pl.Float32))

    over_http = predict_over_http(bundle, rows)

    assert over_http.tolist() == Predictor(bundle).predict(rows).tolist()


def test_a_row_that_the_server_refuses_is_an_error_that_says_why(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    bundle = store.get(store.put(small_bundle(2.0)))

    with pytest.raises(BundleError, match="zone"):
        predict_over_http(bundle, bundle.golden.with_columns(zone=pl.lit(None, pl.String)))


def test_a_bundle_that_cannot_be_served_is_an_error_with_the_servers_words(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    bundle = store.get(store.put(small_bundle(2.0)))
    (bundle.path / "model.onnx").write_bytes(b"damaged")

    with pytest.raises(BundleError, match=r"model\.onnx"), running_server(bundle):
        pass


def test_a_bundle_in_memory_has_no_server() -> None:
    bundle = open_bundle(small_bundle())

    with pytest.raises(BundleError, match="no folder"), running_server(bundle):
        pass


def test_the_server_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    store.put(small_bundle(2.0))
    code = """
import os, signal, sys
from pathlib import Path
from perennial.bundle.bundle import open_bundle
from perennial.stores.production.model_server import running_server
with running_server(open_bundle(Path(sys.argv[1]))) as address:
    print(address, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", code, str(store.path(next(tmp_path.iterdir()).name))]

    died = subprocess.run(command, capture_output=True, text=True, check=False)

    assert died.returncode == -signal.SIGKILL
    while _answers(died.stdout.strip()):  # the kernel closes its standard input, and the server ends
        pass


def _answers(address: str) -> bool:
    try:
        return httpx.get(address + "/healthz", trust_env=False).is_success
    except httpx.TransportError:
        return False
