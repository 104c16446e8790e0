"""Serving: `predict` with checks, features and log, beside `mlflow models serve` of the same ONNX.

MLflow and the bare endpoint are sent the model's inputs, ready-made; `predict` is sent raw instances, and looks
their aggregates up.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.load import Measured, drive
from benchmarks.rows import Row
from cli.services import free_port
from perennial.bundle.bundle import Bundle, seal
from perennial.bundle.manifest import describe_features, describe_requests, describe_thresholds
from perennial.declaration import Pipeline
from perennial.deployment import Released
from perennial.featurization.expressions import featurize
from perennial.featurization.views import feature_views
from perennial.prediction.scoring import Predictor
from perennial.promotion.dossier import Dossier, Verdict
from perennial.settings import TELEMETRY_OFF, Home, home_at
from perennial.stores.models.bundles import BundleStore
from perennial.stores.online.feature_store import FeatureStore, Moment
from perennial.stores.operations import Operations
from perennial.stores.parquet import to_parquet
from perennial.stores.production.model_server import to_instances
from perennial.training.candidates.base import Fitted, Rows

CONNECTIONS = 16
ROUNDS = 3
SECONDS = 4.0
"""Of each round: the servers take turns, so that what else the machine does meets all of them."""
MIN_RATIO = 1.5
AT = datetime(2024, 2, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server to measure: where, and what it is asked."""

    name: str
    port: int
    path: str
    bodies: Sequence[bytes]


def run() -> list[Row]:
    """Requests a second and p99 of `predict` against MLflow's server and a bare endpoint."""
    from pipelines.delivery_eta import delivery_eta

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = home_at(Path(folder))
        bundle = release(home, delivery_eta)
        _bring_online(home, delivery_eta, bundle)
        targets = [stack.enter_context(start(home, bundle)) for start in (serve, _mlflow, _bare)]
        measured: dict[str, list[Measured]] = {target.name: [] for target in targets}
        for _ in range(ROUNDS):
            for t in targets:
                measured[t.name].append(drive(t.port, t.path, t.bodies, connections=CONNECTIONS, seconds=SECONDS))
    rate = {name: statistics.median(m.requests_a_second for m in rounds) for name, rounds in measured.items()}
    p99 = {name: statistics.median(m.p99 for m in rounds) * 1000 for name, rounds in measured.items()}
    seen = "; ".join(f"{name} {rate[name]:.0f} requests/s, p99 {p99[name]:.1f} ms" for name in rate)
    faster, later = rate["predict"] / rate["mlflow"], p99["predict"] / p99["mlflow"]
    return [
        Row(
            name="serving: requests/s over mlflow's", value=faster, limit=MIN_RATIO, ok=faster >= MIN_RATIO, detail=seen
        ),
        Row(name="serving: p99 over mlflow's", value=later, limit=1.0, ok=later < 1.0, detail=seen),
        Row(name="serving: requests/s over bare ASGI's", value=rate["predict"] / rate["bare"], detail=seen),
    ]


def release(home: Home, pipeline: Pipeline) -> Bundle:
    """A champion of delivery_eta: gradient boosting on twelve simulated days; its aggregates are any numbers."""
    from perennial.training.candidates.gradient_boosting import GradientBoosting
    from world.files import simulate

    files = simulate(home.root / "world", until=date(2024, 1, 12))
    rows = pl.concat([pl.read_parquet(file) for file in files]).drop_nulls()
    labelled = rows.with_columns(label=pipeline.label.value).filter(pl.col("label").is_between(10, 240))
    numbers = (pl.int_range(pl.len()) % 7).cast(pl.Float32)
    labelled = labelled.with_columns(numbers.alias(aggregate.name) for aggregate in pipeline.checked_aggregates)
    fitted = GradientBoosting(max_iter=200).fit(
        Rows(features=featurize(labelled, pipeline.checked_features), label=labelled["label"].to_numpy()),
        None, features=pipeline.checked_features, objective=pipeline.objective, seed=0, rounds=200,
    )  # fmt: skip
    bundles = BundleStore(home.bundles)
    parts = _parts(pipeline, fitted, labelled.head(500).select(pipeline.request_columns))
    sha256 = bundles.put(seal(parts, {"pipeline": pipeline.name, "as_of": "2024-01-12"}))
    _let_serve(home, pipeline, sha256)
    return bundles.get(sha256)


def _parts(pipeline: Pipeline, fitted: Fitted, golden: pl.DataFrame) -> dict[str, bytes]:
    """The files of a bundle."""
    golden = golden.with_columns(prediction=fitted.predict(featurize(golden, pipeline.checked_features)))
    return {
        "features.json": describe_features(pipeline), "schema.json": describe_requests(pipeline),
        "thresholds.json": describe_thresholds(pipeline), "model.onnx": fitted.to_onnx(),
        "golden.parquet": to_parquet(golden), "reference.parquet": to_parquet(golden),
    }  # fmt: skip


def _let_serve(home: Home, pipeline: Pipeline, sha256: str) -> None:
    """Release the bundle as the first version."""
    operations = Operations(home.operations_url)
    operations.migrate()
    number = operations.register_version(pipeline.name, sha256, "2024-01-12", {}, at=AT)
    verdict = Verdict(gate="benchmark", outcome="passed", reason="nothing is judged here")
    operations.save_dossier(
        Dossier(pipeline=pipeline.name, bundle_sha256=sha256, as_of="2024-01-12", champion=None, verdicts=(verdict,))
    )
    released = operations.release(pipeline.name, number, actor="benchmark", reason="to measure", at=AT)
    if not isinstance(released, Released):
        raise TypeError(released.reason)


def _bring_online(home: Home, pipeline: Pipeline, bundle: Bundle) -> None:
    """Put one value of each aggregate online, for every entity of the golden rows."""
    store = FeatureStore(root=home.feature_store, online_url=home.online_store)
    moment = Moment(partition=bundle.as_of, known_at=pipeline.time.known_at(bundle.as_of))
    for view in feature_views(pipeline):
        states = bundle.golden.unique(list(view.by), maintain_order=True).select(
            *view.by, *view.features, pl.lit(moment.known_at).alias("known_at")
        )
        store.materialize(view, states, moment, at=AT)


@contextmanager
def serve(home: Home, bundle: Bundle) -> Iterator[Target]:
    """The model server's process on `home`, asked with the golden rows of `bundle`, which carry no lookup."""
    looked_up = {lookup.name for lookup in bundle.schema.lookups}
    instances = [
        {name: value for name, value in instance.items() if name not in looked_up}
        for instance in to_instances(bundle.golden, bundle)
    ]
    port = free_port(0)
    with _process([sys.executable, "-m", "serving", "--home", str(home.root), "--port", str(port)], port, "/readyz"):
        path = f"/v1/models/{bundle.pipeline}:predict"
        yield Target(name="predict", port=port, path=path, bodies=_bodies({"instances": [i]} for i in instances))


@contextmanager
def _mlflow(home: Home, bundle: Bundle) -> Iterator[Target]:
    import mlflow.onnx
    import onnx

    folder = home.root / "mlflow-model"
    mlflow.onnx.save_model(onnx.load_from_string(bundle.model), str(folder), pip_requirements=[])
    port = free_port(0)
    command = [sys.executable, "-m", "mlflow", "models", "serve"]
    command += ["-m", str(folder), "--env-manager", "local", "-w", "1", "--port", str(port)]
    with _process(command, port, "/ping"):
        yield Target(name="mlflow", port=port, path="/invocations", bodies=_inputs(bundle))


@contextmanager
def _bare(_: Home, bundle: Bundle) -> Iterator[Target]:
    port = free_port(0)
    command = [sys.executable, "-m", "benchmarks.bare_server", str(bundle.path / "model.onnx"), str(port)]
    with _process(command, port, "/"):
        yield Target(name="bare", port=port, path="/", bodies=_inputs(bundle))


def _inputs(bundle: Bundle) -> list[bytes]:
    predictor = Predictor(bundle)
    rows = predictor.featurize(bundle.golden).select(predictor.inputs).to_dicts()
    return _bodies({"inputs": {name: [[value]] for name, value in row.items()}} for row in rows)


def _bodies(contents: Iterator[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(content).encode() for content in contents]


@contextmanager
def _process(command: Sequence[str], port: int, path: str) -> Iterator[None]:
    """Run a server while the block lasts, from when it answers."""
    with tempfile.TemporaryFile() as errors:
        beside = Path(sys.executable).parent  # where MLflow looks for uvicorn
        environment = os.environ | TELEMETRY_OFF | {"PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, process_group=0, env=environment)
        try:
            while not _answers(port, path):
                if process.poll() is not None:
                    errors.seek(0)
                    raise RuntimeError(f"{' '.join(command)} ended: {errors.read()[-2000:].decode()}")
                time.sleep(0.1)
            yield
        finally:
            _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):  # MLflow runs its server as a child
        try:
            os.killpg(process.pid, sign)
            process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
