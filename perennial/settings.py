"""Settings: where a deployment keeps its state, and which switches it sets; read by the shells, once.

Below the shells a `Home` is an argument: no other module looks at the environment.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from perennial.errors import PerennialError

CLONE = Path(__file__).resolve().parents[1]

TELEMETRY_OFF: Mapping[str, str] = {
    "DO_NOT_TRACK": "true",  # evidently/telemetry.py (any value), mlflow/telemetry/utils.py (true)
    "ITERATIVE_DO_NOT_TRACK": "true",  # iterative_telemetry, which evidently sends with
    "MLFLOW_DISABLE_TELEMETRY": "true",  # mlflow/environment_variables.py
    "GX_ANALYTICS_ENABLED": "false",  # great_expectations: AbstractDataContext.enable_analytics
    "DAGSTER_DISABLE_TELEMETRY": "yes",  # dagster/_core/telemetry_upload.py, beside telemetry.enabled in dagster.yaml
}
"""Switches of the libraries that report usage by default; they are read when those are imported."""

KEEP_MEMORY: Mapping[str, str] = {"_RJEM_MALLOC_CONF": "dirty_decay_ms:10000,muzzy_decay_ms:10000"}
"""Polars' allocator: what one part freed is there for the next. By default it goes back to the system after half a
second and is asked for again, a tenth of the time of a large partition. Read when Polars is imported, so that it holds
for the processes that a shell starts and not for the shell."""

SETTINGS: Mapping[str, str] = {
    "PERENNIAL_HOME": "Folder of all state; `.perennial/` beside `pyproject.toml` by default.",
    "PERENNIAL_LAKE": "Folder or address of the Delta tables; `lake/` by default.",
    "PERENNIAL_BUNDLES": "Folder of the bundles; `bundles/` by default.",
    "PERENNIAL_OPERATIONS_URL": "Address of the operations database; SQLite in `operations.db` by default.",
    "PERENNIAL_ONLINE_STORE": "Address of the online feature store; SQLite in `feature_store/online.db` by default.",
    "PERENNIAL_MLFLOW_URL": "Tracking address of MLflow; SQLite in `mlflow/mlflow.db` by default.",
    "PERENNIAL_DAGSTER_UI": "Address at which people open the Dagster UI, for links; http://127.0.0.1:3000 by default.",
    "PERENNIAL_MLFLOW_UI": "Address at which people open the MLflow UI, for links; http://127.0.0.1:5000 by default.",
    "PERENNIAL_REPORTS_UI": "Address at which people open the reports, for links; http://127.0.0.1:8001 by default.",
}
"""Every variable that `find_home` reads, with its meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The places of one deployment's state; removing `root` forgets all that lies in it."""

    root: Path
    """Folder of all state that has no place of its own."""
    lake: str
    """Folder or address of the Delta tables."""
    bundles: Path
    """Folder of the bundles, each named by its sha256."""
    operations_url: str
    """Address of the operations database: sqlite:/// or postgresql://."""
    mlflow_url: str
    """Tracking address of MLflow."""
    online_store: str
    """Address of the online feature store: sqlite:///, redis:// or postgresql://."""
    dagster_ui: str = "http://127.0.0.1:3000"
    """Address at which people open the Dagster UI."""
    mlflow_ui: str = "http://127.0.0.1:5000"
    """Address at which people open the MLflow UI."""
    reports_ui: str = "http://127.0.0.1:8001"
    """Address at which people open the reports."""

    @property
    def artifacts(self) -> Path:
        """Folder of what the steps of one training hand each other."""
        return self.root / "artifacts"

    @property
    def inference(self) -> Path:
        """Folder of the inference log's segments."""
        return self.root / "inference"

    @property
    def mlflow(self) -> Path:
        """Folder of MLflow's database and artifacts."""
        return self.root / "mlflow"

    @property
    def feature_store(self) -> Path:
        """Folder of Feast's registries and offline files."""
        return self.root / "feature_store"

    @property
    def tracking(self) -> Path:
        """Spool of runs that MLflow has not recorded yet."""
        return self.root / "tracking"

    @property
    def reports(self) -> Path:
        """Folder of HTML reports and plots."""
        return self.root / "reports"

    @property
    def sources(self) -> Path:
        """Spool of what is fetched from sources; `downloads/` in it holds what came over the network."""
        return self.root / "sources"

    @property
    def pushed(self) -> Path:
        """Folder of the events that were pushed to the server, as they came."""
        return self.root / "pushed"

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME: Dagster's configuration and its databases."""
        return self.root / "dagster"

    @property
    def logs(self) -> Path:
        """Folder of the logs of the processes that `perennial up` runs."""
        return self.root / "logs"

    @property
    def environment(self) -> dict[str, str]:
        """What a child process must have set to find this very home, telemetry off and memory kept."""
        return {
            "PERENNIAL_HOME": str(self.root),
            "PERENNIAL_LAKE": self.lake,
            "PERENNIAL_BUNDLES": str(self.bundles),
            "PERENNIAL_OPERATIONS_URL": self.operations_url,
            "PERENNIAL_ONLINE_STORE": self.online_store,
            "PERENNIAL_MLFLOW_URL": self.mlflow_url,
            "PERENNIAL_DAGSTER_UI": self.dagster_ui,
            "PERENNIAL_MLFLOW_UI": self.mlflow_ui,
            "PERENNIAL_REPORTS_UI": self.reports_ui,
            "DAGSTER_HOME": str(self.dagster),
            **TELEMETRY_OFF,
            **KEEP_MEMORY,
        }


def home_at(root: Path) -> Home:
    """The home whose every part lies in `root`, made absolute."""
    return find_home({"PERENNIAL_HOME": str(root)})


def find_home(environ: Mapping[str, str]) -> Home:
    """The home that `environ` names; an empty variable counts as unset."""
    named = {name: value for name in SETTINGS if (value := environ.get(name, "").strip())}
    root = Path(named["PERENNIAL_HOME"]).expanduser().absolute() if "PERENNIAL_HOME" in named else _beside_the_project()
    lake = named.get("PERENNIAL_LAKE", str(root / "lake"))
    _check_readable(lake)
    return Home(
        root=root,
        lake=lake,
        bundles=Path(named.get("PERENNIAL_BUNDLES", root / "bundles")).expanduser().absolute(),
        operations_url=named.get("PERENNIAL_OPERATIONS_URL", f"sqlite:///{root / 'operations.db'}"),
        mlflow_url=named.get("PERENNIAL_MLFLOW_URL", f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"),
        online_store=named.get("PERENNIAL_ONLINE_STORE", f"sqlite:///{root / 'feature_store' / 'online.db'}"),
        dagster_ui=named.get("PERENNIAL_DAGSTER_UI", "http://127.0.0.1:3000").rstrip("/"),
        mlflow_ui=named.get("PERENNIAL_MLFLOW_UI", "http://127.0.0.1:5000").rstrip("/"),
        reports_ui=named.get("PERENNIAL_REPORTS_UI", "http://127.0.0.1:8001").rstrip("/"),
    )


def turn_telemetry_off(environ: MutableMapping[str, str]) -> None:
    """Set every switch of TELEMETRY_OFF in `environ`; call it before those libraries are imported."""
    environ.update(TELEMETRY_OFF)


def _check_readable(lake: str) -> None:
    """Polars 2.1 looks for a Delta table's files under the percent-encoded path, and finds none where that differs."""
    if "://" not in lake and quote(lake) != lake:
        raise PerennialError(
            "tables in this folder could not be read back",
            where="settings",
            found=repr(lake),
            expected="a path of letters, digits and / . _ - ~",
            hint="set PERENNIAL_HOME or PERENNIAL_LAKE to another folder",
        )


def _beside_the_project() -> Path:
    if not (CLONE / "pyproject.toml").is_file():
        raise PerennialError(
            "no place for state is known outside a clone",
            where="settings",
            found="PERENNIAL_HOME unset",
            expected="PERENNIAL_HOME=/a/folder",
        )
    return CLONE / ".perennial"
