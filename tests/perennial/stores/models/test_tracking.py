"""Tracking: MLflow hears of each fit once, whenever it can; training never waits for it."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow.tracking.client import MlflowClient

from perennial.errors import PerennialError
from perennial.settings import Home
from perennial.stores.models.tracking import NOT_YET, Tracking
from perennial.training.tracking import RunRecord

# mlflow 3.17.2 maps one relationship in a way that SQLAlchemy 2.1 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")

CLONE = Path(__file__).resolve().parents[4]
AT = datetime(2024, 3, 1, tzinfo=UTC)
SHA = "ab" * 32
PLOT = b"\x89PNG a curve"

RECORD_AND_DIE = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from mlflow.tracking.client import MlflowClient
from perennial.stores.models import tracking
from perennial.training.tracking import RunRecord

place, name, when = {
    "create_run after": (MlflowClient, "create_run", "after"),
    "log_artifacts before": (MlflowClient, "log_artifacts", "before"),
    "remove_folder before": (tracking, "remove_folder", "before"),
}[sys.argv[3]]
real = getattr(place, name)

def die(*args, **named):
    if when == "after":
        real(*args, **named)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(place, name, die)
at = datetime(2024, 3, 1, tzinfo=UTC)
tracking.Tracking(uri=sys.argv[1], spool=Path(sys.argv[2])).record(RunRecord(
    id="died", experiment="eta", name="linear", started_at=at, ended_at=at, parameters={"alpha": 1},
    metrics={"mae": 3.5}, curves={"train": (2.0, 1.0)}, artifacts={"plots/curve.png": b"plot"}))
"""
MOMENTS = [
    "create_run after",
    "log_artifacts before",
    "remove_folder before",
]

START_FRESH = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import mlflow.tracking.client
from perennial.stores.models.tracking import Tracking
from perennial.training.tracking import RunRecord

sys.stdin.readline()
at = datetime(2024, 3, 1, tzinfo=UTC)
told = Tracking(uri=sys.argv[1], spool=Path(sys.argv[2])).record(RunRecord(
    id=sys.argv[3], experiment="eta", name="linear", started_at=at, ended_at=at))
print(told.run_id)
"""


ASK_A_SERVER = """
import os, sys
from pathlib import Path
from perennial.stores.models.tracking import Tracking

Tracking(uri="http://127.0.0.1:9", spool=Path(sys.argv[1]))._connect()
from mlflow.tracking.request_header.registry import _request_header_provider_registry as registry
from mlflow.utils.plugins import get_entry_points

providers = [type(one).__module__.partition(".")[0] for one in registry]
found = [one.name for one in get_entry_points("mlflow.request_header_provider")]
print(set(providers), found, "feast" in sys.modules, [name for name in os.environ if name.startswith("PROMETHEUS")])
"""


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database that MLflow has just made, because its migrations take seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    assert Tracking(uri=f"sqlite:///{folder}/mlflow.db", spool=folder / "spool")._connect()
    return folder / "mlflow.db"


@pytest.fixture
def tracking(home: Home, fresh_database: Path) -> Tracking:
    """Return the tracking of an embedded home whose MLflow is empty."""
    home.mlflow.mkdir(parents=True)
    shutil.copy(fresh_database, home.mlflow)
    return Tracking(uri=home.mlflow_url, spool=home.tracking, public_url="http://mlflow.example/")


@pytest.fixture
def away(tracking: Tracking) -> Tracking:
    """Return the same spool while MLflow is away: nothing listens at its address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return Tracking(uri=f"http://127.0.0.1:{taken.getsockname()[1]}", spool=tracking.spool)


def a_record(name: str = "one", **changes: Any) -> RunRecord:
    given: dict[str, Any] = {
        "id": name,
        "experiment": "eta",
        "name": "linear",
        "started_at": AT,
        "ended_at": AT + timedelta(minutes=2),
        "parameters": {"alpha": 0.1, "features": ["a", "b"], "nothing": None},
        "metrics": {"test/mae": 3.25, "test/mae[zone=7]": 4.5},
        "curves": {"validation": (3.0, 2.0, 1.5)},
        "tags": {"git": "c0ffee", "as of": "2024-02"},
        "artifacts": {"plots/curve.png": PLOT, "model.onnx": b"graph"},
    }
    return RunRecord(**{**given, **changes})


def client_of(tracking: Tracking) -> MlflowClient:
    return MlflowClient(tracking_uri=tracking.uri, registry_uri=tracking.uri)


def runs_of(tracking: Tracking, experiment: str = "eta") -> list[Any]:
    client = client_of(tracking)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def versions_of(tracking: Tracking, pipeline: str = "eta") -> list[Any]:
    return list(client_of(tracking).search_model_versions(f"name = '{pipeline}'"))


def a_version(number: int, **changes: Any) -> dict[str, Any]:
    return {"pipeline": "eta", "number": number, "bundle_sha256": SHA, "source": f"/bundles/{number}", **changes}


def test_a_run_holds_all_that_its_record_says(tracking: Tracking, home: Home):
    told = tracking.record(a_record())

    assert told.run_id is not None
    client = client_of(tracking)
    run = client.get_run(told.run_id)
    assert told.url == f"http://mlflow.example/#/experiments/{run.info.experiment_id}/runs/{told.run_id}"
    assert run.data.params == {"alpha": "0.1", "features": "['a', 'b']", "nothing": "None"}
    assert run.data.metrics == {"test/mae": 3.25, "test/mae_zone_7_": 4.5, "validation": 1.5}
    assert run.data.tags.items() >= {"perennial.record": "one", "git": "c0ffee", "as of": "2024-02"}.items()
    assert [(point.step, point.value) for point in client.get_metric_history(told.run_id, "validation")] == [
        (0, 3.0),
        (1, 2.0),
        (2, 1.5),
    ]
    assert (run.info.run_name, run.info.status) == ("linear", "FINISHED")
    assert run.info.start_time == AT.timestamp() * 1000
    assert run.info.end_time == (AT.timestamp() + 120) * 1000
    curve = home.mlflow / "artifacts" / "eta" / told.run_id / "artifacts" / "plots" / "curve.png"
    assert curve.read_bytes() == PLOT
    assert tracking.pending() == 0


def test_a_long_record_is_told_whole(tracking: Tracking):
    many = a_record(
        parameters={f"p{n}": n for n in range(230)},
        metrics={f"m{n}": float(n) for n in range(950)},
        curves={"loss": tuple(float(step) for step in range(2_000))},
        tags={f"t{n}": str(n) for n in range(150)},
        status="FAILED",
    )

    told = tracking.record(many)

    assert told.run_id is not None
    run = client_of(tracking).get_run(told.run_id)
    assert (len(run.data.params), len(run.data.metrics), run.info.status) == (230, 951, "FAILED")
    assert run.data.tags.items() >= many.tags.items()
    assert len(client_of(tracking).get_metric_history(told.run_id, "loss")) == 2_000


def test_values_that_are_no_numbers_do_not_keep_a_record_back(tracking: Tracking):
    told = tracking.record(a_record(metrics={"nan": float("nan"), "inf": float("inf")}, parameters={"empty": ""}))

    assert told.run_id is not None
    metrics = client_of(tracking).get_run(told.run_id).data.metrics
    assert metrics["nan"] != metrics["nan"]
    assert metrics["inf"] > 1e300


def test_a_record_told_twice_is_one_run(tracking: Tracking):
    first = tracking.record(a_record())
    second = tracking.record(a_record())

    assert second == first
    assert [run.info.run_id for run in runs_of(tracking)] == [first.run_id]


def test_a_record_told_by_many_at_once_is_one_run(tracking: Tracking):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: (tracking.record(a_record()), tracking.flush()), range(4)))

    assert len(runs_of(tracking)) == 1
    assert tracking.pending() == 0


def test_what_could_not_be_told_waits_is_named_and_goes_later(
    tracking: Tracking, away: Tracking, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        assert away.record(a_record("one")) == NOT_YET
        assert away.record(a_record("two")) == NOT_YET
        assert away.flush() == []
    assert away.pending() == 2
    assert f"MLflow at {away.uri} cannot be reached, 2 entries wait in {away.spool}" in caplog.text

    assert tracking.flush() == ["one", "two"]

    assert {run.data.tags["perennial.record"] for run in runs_of(tracking)} == {"one", "two"}
    assert [run.data.metrics["test/mae"] for run in runs_of(tracking)] == [3.25, 3.25]
    assert tracking.pending() == 0
    assert tracking.flush() == []


def test_a_server_that_never_answers_does_not_hold_training(tracking: Tracking, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = Tracking(uri=f"http://127.0.0.1:{silent.getsockname()[1]}", spool=tracking.spool)

        assert hanging.record(a_record()) == NOT_YET

    assert tracking.flush() == ["one"]


def test_a_database_that_is_away_does_not_hold_training(tracking: Tracking, away: Tracking):
    uri = away.uri.replace("http://", "postgresql+psycopg2://me:secret@") + "/mlflow"
    database = Tracking(uri=uri, spool=tracking.spool, artifact_root="/artifacts")

    assert database.record(a_record()) == NOT_YET
    assert database.pending() == 1


def test_no_password_reaches_the_log(tracking: Tracking, away: Tracking, caplog: pytest.LogCaptureFixture):
    uri = away.uri.replace("http://", "postgresql+psycopg2://me:secret@") + "/mlflow"

    Tracking(uri=uri, spool=tracking.spool, artifact_root="/artifacts").record(a_record())

    assert "cannot be reached" in caplog.text
    assert "secret" not in caplog.text


def test_a_file_that_is_no_database_does_not_hold_training(tracking: Tracking, home: Home):
    (home.mlflow / "other.db").write_bytes(b"no database at all" * 100)

    broken = Tracking(uri=f"sqlite:///{home.mlflow}/other.db", spool=tracking.spool)

    assert broken.record(a_record()) == NOT_YET
    assert tracking.flush() == ["one"]


def test_a_database_without_a_place_for_artifacts_is_refused():
    with pytest.raises(PerennialError, match="MLflow: a database holds no artifacts"):
        Tracking(uri="postgresql+psycopg2://127.0.0.1/mlflow", spool=Path("spool"))


def test_a_record_that_mlflow_refuses_does_not_hold_the_others_back(
    tracking: Tracking, away: Tracking, caplog: pytest.LogCaptureFixture
):
    client = client_of(tracking)
    client.delete_experiment(client.create_experiment("gone"))
    away.record(a_record("a", experiment="gone"))
    away.record(a_record("b"))

    assert tracking.flush() == ["b"]

    assert tracking.pending() == 1
    assert "record a could not be sent to MLflow and waits in" in caplog.text


def test_a_process_killed_while_it_tells_leaves_one_whole_run(tracking: Tracking, tmp_path: Path):
    spools = {moment: tmp_path / moment.replace(" ", "-") for moment in MOMENTS}
    homes = {moment: tmp_path / f"{moment}.home" / "mlflow.db" for moment in MOMENTS}
    for database in homes.values():
        database.parent.mkdir()
        shutil.copy(tracking.uri.removeprefix("sqlite:///"), database)
    killed = [
        subprocess.Popen([sys.executable, "-c", RECORD_AND_DIE, f"sqlite:///{homes[m]}", str(spools[m]), m], cwd=CLONE)
        for m in MOMENTS
    ]
    assert [process.wait() for process in killed] == [-9] * len(MOMENTS)

    for moment in MOMENTS:
        again = Tracking(uri=f"sqlite:///{homes[moment]}", spool=spools[moment])
        assert len(runs_of(again)) == 1, moment
        assert (again.pending(), again.flush(), again.pending()) == (1, ["died"], 0)

        (run,) = runs_of(again)
        assert (run.info.status, run.data.params, run.data.metrics["mae"]) == ("FINISHED", {"alpha": "1"}, 3.5)
        assert len(client_of(again).get_metric_history(run.info.run_id, "train")) == 2
        assert client_of(again).list_artifacts(run.info.run_id)[0].path == "plots"


def test_two_processes_may_start_a_fresh_home_at_once(home: Home):
    starting = [
        subprocess.Popen(
            [sys.executable, "-c", START_FRESH, home.mlflow_url, str(home.tracking), name],
            cwd=CLONE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for process in starting:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = {process.communicate()[0].strip() for process in starting}

    tracking = Tracking(uri=home.mlflow_url, spool=home.tracking)
    assert {run.info.run_id for run in runs_of(tracking)} == told
    assert len(told) == 2


def test_a_mirrored_version_is_found_by_our_number(tracking: Tracking):
    told = tracking.record(a_record())

    assert tracking.mirror_version(**a_version(7, tags={"perennial.record": "one", "as_of": "2024-02"}))
    assert tracking.mirror_champion(pipeline="eta", number=7)

    (version,) = versions_of(tracking)
    assert version.tags == {
        "perennial.version": "7",
        "perennial.bundle_sha256": SHA,
        "perennial.source": "/bundles/7",
        "perennial.record": "one",
        "as_of": "2024-02",
    }
    assert (str(version.version), version.source, version.run_id) == ("1", "/bundles/7", told.run_id)
    assert client_of(tracking).get_model_version_by_alias("eta", "champion").version == version.version


def test_mirroring_again_changes_nothing_but_tags(tracking: Tracking):
    for tags in ({"stage": "judged"}, {"stage": "released"}, {"stage": "released"}):
        assert tracking.mirror_version(**a_version(7, tags=tags))

    (version,) = versions_of(tracking)
    assert version.tags["stage"] == "released"


def test_mirrors_wait_in_order_and_the_last_champion_wins(tracking: Tracking, away: Tracking):
    for number in (1, 2):
        assert not away.mirror_version(**a_version(number))
        assert not away.mirror_champion(pipeline="eta", number=number)
    assert not away.mirror_champion(pipeline="eta", number=1)
    assert not away.mirror_version(**a_version(1, pipeline="other"))
    assert not away.mirror_champion(pipeline="other", number=1)

    assert tracking.mirror_version(**a_version(3))  # goes behind those that wait

    assert tracking.pending() == 0
    champion = client_of(tracking).get_model_version_by_alias("eta", "champion")
    assert champion.tags["perennial.version"] == "1"
    assert client_of(tracking).get_model_version_by_alias("other", "champion").tags["perennial.version"] == "1"
    assert [version.tags["perennial.version"] for version in reversed(versions_of(tracking))] == ["1", "2", "3"]


def test_a_champion_whose_version_is_unknown_waits_for_it(tracking: Tracking, caplog: pytest.LogCaptureFixture):
    assert not tracking.mirror_champion(pipeline="eta", number=5)
    assert "eta in MLflow: the model registry lacks the version that serves" in caplog.text
    assert tracking.mirror_version(**a_version(5)) is True

    assert tracking.flush() == ["ChampionMirror-eta-5"]

    assert client_of(tracking).get_model_version_by_alias("eta", "champion").tags["perennial.version"] == "5"


def test_a_champion_that_waited_too_long_does_not_come_back(tracking: Tracking):
    assert not tracking.mirror_champion(pipeline="eta", number=5)
    assert tracking.mirror_version(**a_version(6))
    assert tracking.mirror_champion(pipeline="eta", number=6)
    assert tracking.mirror_version(**a_version(5))

    assert tracking.flush() == []

    assert client_of(tracking).get_model_version_by_alias("eta", "champion").tags["perennial.version"] == "6"


@contextmanager
def mlflow_server(home: Home) -> Iterator[str]:
    """An `mlflow server` on the files of `home`, on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", port]
    places = ["--backend-store-uri", home.mlflow_url, "--default-artifact-root", str(home.mlflow / "artifacts")]
    log = (home.root / "server.log").open("w")
    server = subprocess.Popen([*command, *places], stdout=log, stderr=log, start_new_session=True)
    try:
        while True:
            assert server.poll() is None, (home.root / "server.log").read_text()
            try:
                httpx.get(f"http://127.0.0.1:{port}/health").raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, 15)
        server.wait()
        log.close()


def test_a_real_server_shows_runs_plots_and_models_and_takes_more(tracking: Tracking, home: Home):
    told = tracking.record(a_record())
    tracking.mirror_version(**a_version(7, tags={"perennial.record": "one"}))
    tracking.mirror_champion(pipeline="eta", number=7)

    with mlflow_server(home) as url:
        api = f"{url}/api/2.0/mlflow"
        run = httpx.get(f"{api}/runs/get?run_id={told.run_id}").json()["run"]
        assert {"key": "test/mae", "value": 3.25}.items() <= run["data"]["metrics"][0].items()
        listed = httpx.get(f"{api}/artifacts/list?run_id={told.run_id}&path=plots").json()["files"]
        assert [file["path"] for file in listed] == ["plots/curve.png"]
        assert httpx.get(f"{url}/get-artifact?run_id={told.run_id}&path=plots/curve.png").content == PLOT
        champion = httpx.get(f"{api}/registered-models/alias?name=eta&alias=champion").json()["model_version"]
        assert {"key": "perennial.version", "value": "7"} in champion["tags"]
        assert champion["run_id"] == told.run_id

        remote = Tracking(uri=url, spool=home.root / "other", public_url=url)
        more = remote.record(a_record("two"))
        assert remote.record(a_record("two")) == more
        assert remote.mirror_version(**a_version(8, tags={"perennial.record": "two"}))
        assert remote.mirror_champion(pipeline="eta", number=8)
        fresh = remote.record(a_record("three", experiment="fresh"))
        assert httpx.get(f"{url}/get-artifact?run_id={fresh.run_id}&path=model.onnx").content == b"graph"

    assert len(runs_of(tracking)) == 2
    champion = client_of(tracking).get_model_version_by_alias("eta", "champion")
    assert champion.tags["perennial.version"] == "8"
    assert (champion.run_id, champion.source) == (more.run_id, f"bundle://sha256/{SHA}")


def test_a_process_that_asks_a_server_does_not_import_feast_for_the_headers_of_its_requests(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS")}

    asked = subprocess.run(
        [sys.executable, "-c", ASK_A_SERVER, str(tmp_path)],
        env=env, cwd=CLONE, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (asked.returncode, asked.stdout) == (0, "{'mlflow'} ['feast'] False []\n"), asked.stderr
