"""Services: the processes of the laptop's stack, each with its command, its address and its sign of life."""

import http.client
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from perennial.settings import CLONE, Home
from resources.instance import open_instance

LOOPBACK = "127.0.0.1"
WORKSPACE = CLONE / "workspace.yaml"

Ready = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process of the stack."""

    name: str
    title: str
    """What a person calls it."""
    command: Sequence[str]
    ready: Ready
    """Whether it does its work; asked again and again until it says so."""
    address: str = ""
    """Where it answers; empty when it has no address."""
    environment: Mapping[str, str] = field(default_factory=dict)
    address_setting: str = ""
    """The setting by which the others know its address, for links."""


def web_ui(_home: Home) -> Service:
    """Dagster's web UI."""
    port = free_port(3000)
    command = [sys.executable, "-m", "dagster_webserver", "-h", LOOPBACK, "-p", str(port), "-w", str(WORKSPACE)]
    return _listening("dagster", "Dagster", command, port, "/server_info", address_setting="PERENNIAL_DAGSTER_UI")


def daemon(home: Home) -> Service:
    """Dagster's daemon: schedules, sensors, queue, run monitoring."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(WORKSPACE)]
    return Service(name="daemon", title="Dagster daemon", command=command, ready=_beats(home, since=time.time()))


def mlflow_ui(home: Home) -> Service:
    """MLflow's UI on the home's tracking database; training and serving do not need it."""
    port = free_port(5000)
    home.mlflow.mkdir(parents=True, exist_ok=True)
    command = [
        *[sys.executable, "-m", "mlflow", "server", "--backend-store-uri", home.mlflow_url],
        *["--default-artifact-root", (home.mlflow / "artifacts").as_uri(), "--no-serve-artifacts"],
        *["--host", LOOPBACK, "--port", str(port), "--workers", "1"],
    ]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    service = _listening("mlflow", "MLflow", command, port, "/health", address_setting="PERENNIAL_MLFLOW_UI")
    return replace(service, environment=quiet)


def model_server(_home: Home) -> Service:
    """The model server, for all pipelines."""
    port = free_port(8000)
    command = [sys.executable, "-m", "serving", "--host", LOOPBACK, "--port", str(port)]
    return _listening("server", "Model server", command, port, "/healthz")


def reports(home: Home) -> Service:
    """The folder of reports as web pages: a browser opens no file:// link from a page of Dagster's."""
    port = free_port(8001)
    home.reports.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "http.server", str(port), "--bind", LOOPBACK, "--directory", str(home.reports)]
    return _listening("reports", "Reports", command, port, "/", address_setting="PERENNIAL_REPORTS_UI")


def _listening(
    name: str, title: str, command: Sequence[str], port: int, path: str, *, address_setting: str = ""
) -> Service:
    """A web server on the loopback's `port`, which works once it answers GET `path`."""
    return Service(
        name=name,
        title=title,
        command=command,
        address=f"http://{LOOPBACK}:{port}",
        address_setting=address_setting,
        ready=lambda: answers(port, path),
    )


SERVICES: Mapping[str, Callable[[Home], Service]] = {
    "dagster": web_ui,
    "daemon": daemon,
    "mlflow": mlflow_ui,
    "reports": reports,
    "server": model_server,
}
"""The whole stack, by name."""


def free_port(preferred: int) -> int:
    """`preferred`, or any free port of the loopback when something else listens there."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no free port on {LOOPBACK}")


def answers(port: int, path: str) -> bool:
    """Whether an HTTP server on the loopback's `port` answers GET `path` with 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _beats(home: Home, *, since: float) -> Ready:
    """A daemon works when its sensor loop wrote a heartbeat after `since`."""

    def ready() -> bool:
        with open_instance(home, os.environ) as instance:
            beat = instance.get_daemon_heartbeats().get("SENSOR")
            return beat is not None and beat.timestamp >= since

    return ready
