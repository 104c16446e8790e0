"""Up: the stack starts together, ends together, and leaves no process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.services import SERVICES, Service, free_port
from cli.up import HomeTaken, Running, ServiceEnded, ServiceStuck, _stop, run_stack, up
from perennial.settings import CLONE, Home

FAMILY = """
import os, subprocess, sys, time
from pathlib import Path
if len(sys.argv) > 2:
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
folder = Path(sys.argv[1])
code = "import sys, time; from pathlib import Path; import os; " \\
    "(Path(sys.argv[1]) / str(os.getpid())).touch(); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", code, str(folder)], start_new_session=True)
(folder / str(os.getpid())).touch()
time.sleep(600)
"""
"""A service with a child in a session of its own; with a second argument it does not heed SIGTERM."""


def family(folder: Path, *, stubborn: bool = False) -> Callable[[Home], Service]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", FAMILY, str(folder), *(["stubborn"] if stubborn else [])]
    return lambda _home: Service(
        name=folder.name, title=folder.name, command=command, ready=lambda: len(list(folder.iterdir())) == 2
    )


def pids(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir()]


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(claim: Callable[[], bool], within: float = 60.0) -> bool:
    deadline = time.monotonic() + within
    while not claim() and time.monotonic() < deadline:
        time.sleep(0.05)
    return claim()


@pytest.mark.parametrize("stubborn", [False, True])
def test_no_process_is_left_after_the_block(home: Home, tmp_path: Path, stubborn: bool) -> None:
    folder = tmp_path / "family"

    with run_stack(home, {"family": family(folder, stubborn=stubborn)}, say=lambda _line: None):
        members = pids(folder)
        assert all(alive(pid) for pid in members)

    assert len(members) == 2
    assert not any(alive(pid) for pid in members)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_supervisor_ends_all(home: Home, tmp_path: Path, sign: signal.Signals) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    code = (
        "import sys, cli.up; from pathlib import Path; from perennial.settings import home_at;"
        "sys.path.insert(0, 'tests/cli'); from test_up import family;"
        "services = {Path(name).name: family(Path(name)) for name in sys.argv[2:]};"
        "sys.exit(cli.up.up(home_at(Path(sys.argv[1])), services))"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(home.root), *map(str, folders)],
        cwd=CLONE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert supervisor.stdout
    while "All is up" not in supervisor.stdout.readline():
        assert supervisor.poll() is None
    members = [pid for folder in folders for pid in pids(folder)]

    supervisor.send_signal(sign)

    with supervisor:
        assert supervisor.wait() == (-signal.SIGKILL if sign is signal.SIGKILL else 0)
    assert len(members) == 4
    assert eventually(lambda: not any(alive(pid) for pid in members))


def test_a_service_that_ends_is_named_with_the_tail_of_its_log_and_ends_all(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "steady"
    code = "import sys; print('disk is full'); sys.exit(7)"
    broken = Service(name="broken", title="Broken", command=[sys.executable, "-c", code], ready=lambda: False)
    services: dict[str, Callable[[Home], Service]] = {"steady": family(folder), "broken": lambda _home: broken}

    with (
        pytest.raises(ServiceEnded, match=r"(?s)broken: .* found ended with exit code 7.*disk is full"),
        run_stack(home, services, say=lambda _line: None) as stack,
    ):
        stack.watch()

    assert not any(alive(pid) for pid in pids(folder))


def test_up_reports_a_dead_service_and_exits_with_one(home: Home) -> None:
    gone = Service(name="gone", title="Gone", command=[sys.executable, "-c", "raise SystemExit(3)"], ready=lambda: True)
    said: list[str] = []

    assert up(home, {"gone": lambda _home: gone}, say=said.append) == 1
    assert "gone: the service failed, found ended with exit code 3" in said[-1]


def test_a_second_stack_on_one_home_is_refused_with_the_number_of_the_first(home: Home, tmp_path: Path) -> None:
    services = {"daemon": family(tmp_path / "daemon")}

    with run_stack(home, services, say=lambda _line: None):
        with (
            pytest.raises(HomeTaken, match=rf"its daemon runs already, found process {os.getpid()}, which holds"),
            run_stack(home, services, say=lambda _line: None),
        ):
            pass
        with run_stack(home, {"server": family(tmp_path / "server")}, say=lambda _line: None):
            pass
    with run_stack(home, services, say=lambda _line: None):
        pass


def test_one_that_does_not_end_is_reported_after_all_were_waited_for(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("cli.up.GRACE", 0.1)
    deaf = "import time; time.sleep(600)"
    heeding = "import sys; sys.stdin.read()"
    running = [
        Running(
            service=Service(name=name, title=name, command=[], ready=lambda: True),
            lifeline=subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL),
            log=tmp_path / name,
        )
        for name, code in (("deaf", deaf), ("heeding", heeding))
    ]

    try:
        with pytest.raises(ServiceStuck, match=r"^deaf: it did not end"):
            _stop(running)
        assert eventually(lambda: running[1].lifeline.poll() == 0)
    finally:
        for one in running:
            one.lifeline.kill()
            one.lifeline.wait()


def test_each_service_knows_where_people_find_the_others(home: Home) -> None:
    home = replace(home, mlflow_ui="https://proxy/mlflow")
    code = (
        "import os, time; print(os.environ['PERENNIAL_DAGSTER_UI'], os.environ['PERENNIAL_MLFLOW_UI']); time.sleep(600)"
    )
    log = home.logs / "reader.log"
    reader = Service(
        name="reader",
        title="Reader",
        command=[sys.executable, "-c", code],
        ready=lambda: log.read_text().endswith("\n"),
    )
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    uis = {
        setting: Service(
            name=setting,
            title=setting,
            command=sleeper,
            ready=lambda: True,
            address="http://one:1",
            address_setting=setting,
        )
        for setting in ("PERENNIAL_DAGSTER_UI", "PERENNIAL_MLFLOW_UI")
    }
    services = {one.name: (lambda _home, one=one: one) for one in [reader, *uis.values()]}

    with run_stack(home, services, say=lambda _line: None):
        assert log.read_text().split() == ["http://one:1", "https://proxy/mlflow"]


def test_a_busy_port_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = taken.getsockname()[1]

        chosen = free_port(busy)

    assert chosen != busy
    assert chosen > 0


@pytest.mark.daemon
def test_the_real_stack_answers_and_ends(home: Home) -> None:
    said: list[str] = []
    services = {name: SERVICES[name] for name in ("dagster", "daemon", "mlflow", "reports")}

    with run_stack(home, services, say=said.append) as stack:
        assert set(stack.addresses) == {"dagster", "mlflow", "reports"}
        lifelines = [one.lifeline.pid for one in stack.running]
        stack.check()

    assert len(said) == 4
    assert not any(alive(pid) for pid in lifelines)
    assert {path.name for path in home.logs.glob("*.log")} == {"dagster.log", "daemon.log", "mlflow.log", "reports.log"}
