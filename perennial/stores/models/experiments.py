"""Experiments: MLflow, told through its client alone; each call may be made again and changes nothing.

Waiting is bounded: one attempt a request, at most REQUEST_SECONDS each.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import socket
import threading
from datetime import datetime
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from perennial.errors import PerennialError
from perennial.stores.folders import locked
from perennial.training.tracking import (
    RECORD_TAG,
    VERSION_TAG,
    ChampionMirror,
    Mirror,
    Recorded,
    RunRecord,
    VersionMirror,
    with_safe_names,
)

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking.client import MlflowClient

REQUEST_SECONDS = 5
CONNECT_SECONDS = 2.0
CHAMPION = "champion"
"""Alias of the version that serves."""

# MLflow takes these from its process alone; what is set already stays
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_SECONDS),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": str(12 * REQUEST_SECONDS),
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_headers = threading.Lock()
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def connect(uri: str, *, artifact_root: str | None) -> MlflowClient:
    """A client of the MLflow at `uri`, its database made first where that is a fresh one.

    Raises one of `failures()` when it cannot be reached.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if _is_server(uri):
        _import_headers()
    else:
        _reach_database(uri)
        _make_database(uri, artifact_place(uri, artifact_root))
    from mlflow.tracking.client import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_experiments(max_results=1)
    return client


def artifact_place(uri: str, artifact_root: str | None) -> str | None:
    """Where artifacts lie: as told, else beside an SQLite file, else None, as the server at `uri` decides."""
    if artifact_root is not None or _is_server(uri):
        return artifact_root
    if path := _sqlite_path(uri):
        return str(path.absolute().parent / "artifacts")
    raise PerennialError(
        "a database holds no artifacts", where="MLflow", found="artifact_root=None", expected="a folder or an address"
    )


def failures() -> tuple[type[Exception], ...]:
    """What MLflow raises when it is away or says no."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, RequestException, SQLAlchemyError, OSError, PerennialError)


def find_experiment(client: MlflowClient, name: str, *, artifact_root: str | None) -> str:
    """The id of experiment `name`, made if it is not there; its artifacts lie under `artifact_root`."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    root = artifact_place(client.tracking_uri, artifact_root)
    place = None if root is None else f"{root.rstrip('/')}/{name}"
    try:
        return str(client.create_experiment(name, artifact_location=place))
    except MlflowException as problem:
        if problem.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return find_experiment(client, name, artifact_root=artifact_root)  # another process was faster


def send_record(client: MlflowClient, record: RunRecord, *, experiment_id: str, artifacts: Path) -> str:
    """Make the one run of `record`, or finish the one that was begun, and return its id.

    `artifacts` is the folder of its artifacts, or not there.
    """
    run = _run_of(client, record.id, experiment_ids=[experiment_id]) or client.create_run(
        experiment_id,
        start_time=_milliseconds(record.started_at),
        run_name=record.name,
        tags={**with_safe_names(record.tags), RECORD_TAG: record.id},
    )
    run_id = str(run.info.run_id)
    if run.info.status == "RUNNING":
        for metrics, params in _batches(record):
            client.log_batch(run_id, metrics=metrics, params=params)
        if artifacts.is_dir():
            client.log_artifacts(run_id, str(artifacts))
        client.set_terminated(run_id, status=record.status, end_time=_milliseconds(record.ended_at))
    return run_id


def send_mirror(client: MlflowClient, mirror: Mirror) -> None:
    """Show `mirror` in the model registry."""
    if isinstance(mirror, VersionMirror):
        _send_version(client, mirror)
    else:
        _send_champion(client, mirror)


def seen_at(public_url: str | None, *, experiment_id: str, run_id: str) -> Recorded:
    """Where a person sees the run."""
    url = public_url and f"{public_url.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"
    return Recorded(run_id=run_id, url=url or None)


def _run_of(client: MlflowClient, record: str, *, experiment_ids: list[str]) -> Any:
    from mlflow.entities import ViewType

    query = f"tags.`{RECORD_TAG}` = '{record}'"
    return next(iter(client.search_runs(experiment_ids, query, run_view_type=ViewType.ALL, max_results=1)), None)


def _batches(record: RunRecord) -> list[tuple[list[Metric], list[Any]]]:
    """Metrics and parameters in batches of a size that MLflow takes: 1000 in all, 100 parameters."""
    from mlflow.entities import Metric, Param

    series = {**{name: (value,) for name, value in record.metrics.items()}, **record.curves}
    # one timestamp for all: MLflow drops a metric that it has already, so sending again adds none
    at = _milliseconds(record.ended_at)
    metrics = [
        Metric(name, value, at, step)
        for name, values in with_safe_names(series).items()
        for step, value in enumerate(values)
    ]
    params = [Param(name, str(value)) for name, value in with_safe_names(record.parameters).items()]
    some, few = _chunks(metrics, 900), _chunks(params, 100)
    return [(left or [], right or []) for left, right in zip_longest(some, few)]


def _chunks(values: list[Any], size: int) -> list[list[Any]]:
    return [values[at : at + size] for at in range(0, len(values), size)]


def _send_version(client: MlflowClient, mirror: VersionMirror) -> None:
    _make_model(client, mirror.pipeline)
    found = _version_of(client, mirror.pipeline, mirror.number)
    if found is None:
        run_id = mirror.run_id or _fitting_run(client, mirror)
        client.create_model_version(mirror.pipeline, _source_for(client, mirror), run_id=run_id, tags=mirror.all_tags)
        return
    for name, value in mirror.all_tags.items():
        if found.tags.get(name) != value:
            client.set_model_version_tag(mirror.pipeline, found.version, name, value)


def _fitting_run(client: MlflowClient, mirror: VersionMirror) -> str | None:
    experiment = client.get_experiment_by_name(mirror.pipeline)
    if experiment is None or RECORD_TAG not in mirror.tags:
        return None
    run = _run_of(client, mirror.tags[RECORD_TAG], experiment_ids=[experiment.experiment_id])
    return None if run is None else str(run.info.run_id)


def _source_for(client: MlflowClient, mirror: VersionMirror) -> str:
    """The bundle's place; its name where a server would refuse a path of this machine."""
    is_local = "://" not in mirror.source or mirror.source.startswith("file:")
    return f"bundle://sha256/{mirror.bundle_sha256}" if is_local and _is_server(client.tracking_uri) else mirror.source


def _send_champion(client: MlflowClient, mirror: ChampionMirror) -> None:
    found = _version_of(client, mirror.pipeline, mirror.number)
    if found is None:
        raise PerennialError(
            "the model registry lacks the version that serves",
            where=f"{mirror.pipeline} in MLflow",
            expected=f"a version with {VERSION_TAG} {mirror.number}",
        )
    client.set_registered_model_alias(mirror.pipeline, CHAMPION, found.version)


def _version_of(client: MlflowClient, pipeline: str, number: int) -> ModelVersion | None:
    query = f"name = '{pipeline}' and tags.`{VERSION_TAG}` = '{number}'"
    return next(iter(client.search_model_versions(query, max_results=1)), None)


def _make_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as problem:
        if problem.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


@cache
def _import_headers() -> None:
    """Import what makes the headers of MLflow's requests, without Feast's, which are for requests that Feast makes.

    With the first request MLflow would import all of Feast to find them: five seconds, and variables of the process
    that let its children count into files. Feast's own requests to MLflow, of which we make none, carry no token then.
    """
    from mlflow.utils import plugins

    with _headers:
        found = plugins.get_entry_points
        plugins.get_entry_points = lambda group: [one for one in found(group) if not one.value.startswith("feast.")]
        try:
            importlib.import_module("mlflow.tracking.request_header.registry")
        finally:
            plugins.get_entry_points = found


def _reach_database(uri: str) -> None:
    """Try the database once: MLflow itself tries ten times, for a hundred seconds."""
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.pool import NullPool

    address = urlsplit(uri)
    if address.hostname:
        port = address.port or _PORTS.get(address.scheme.split("+")[0], 5432)
        socket.create_connection((address.hostname, port), timeout=CONNECT_SECONDS).close()
    if path := _sqlite_path(uri):
        path.parent.mkdir(parents=True, exist_ok=True)
    inspect(create_engine(uri, poolclass=NullPool)).has_table("runs")


@cache
def _make_database(uri: str, artifact_root: str | None) -> None:
    """Make MLflow's tables, one process at a time: two that migrate one SQLite file at once break it."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path = _sqlite_path(uri)
    if path is None:
        return
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    with locked(path.parent):
        SqlAlchemyStore(uri, artifact_root)  # type: ignore[no-untyped-call]  # MLflow leaves it untyped


def _sqlite_path(uri: str) -> Path | None:
    found = re.fullmatch(r"sqlite(?:\+\w+)?:///(?P<path>[^?]+)(?:\?.*)?", uri)
    return Path(found["path"]) if found else None


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)
