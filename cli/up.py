"""Up: the laptop's whole stack as one thing, which starts together and ends together.

Each process runs under a lifeline: when this one ends, however it ends, none of them is left.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from cli.lifeline import GRACE
from cli.services import SERVICES, Service
from perennial.errors import PerennialError
from perennial.settings import CLONE, Home, home_at
from resources.instance import open_instance

PATIENCE = 180.0
"""Seconds until a service that still does not answer counts as failed."""
POLL = 0.2
TAIL = 20
"""Lines of its log that the report of a dead service quotes."""

Say = Callable[[str], None]
Services = Mapping[str, Callable[[Home], Service]]


class HomeTaken(PerennialError):
    """Another process runs such a service on the same home."""


class ServiceStuck(PerennialError):
    """The processes of a service did not end in time."""


class ServiceEnded(PerennialError):
    """A service of the stack ended, or never answered, while the stack should run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A service and the lifeline that holds it."""

    service: Service
    lifeline: "subprocess.Popen[bytes]"
    log: Path

    def ended(self) -> ServiceEnded | None:
        """Why the stack must end, or None while the service runs."""
        code = self.lifeline.poll()
        return None if code is None else self._failure(f"ended with exit code {code}", "it to run until Ctrl-C")

    def late(self) -> ServiceEnded:
        """The error of a service that never answered."""
        return self._failure(
            f"no answer after {PATIENCE:.0f} s", f"an answer at {self.service.address or 'its heartbeat'}"
        )

    def _failure(self, found: str, expected: str) -> ServiceEnded:
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL:]
        hint = "\n".join([f"its log {self.log} ends with", *lines])
        return ServiceEnded("the service failed", where=self.service.name, found=found, expected=expected, hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The running services."""

    running: Sequence[Running] = field(default_factory=tuple)

    @property
    def addresses(self) -> dict[str, str]:
        """Address of each service that has one, by name."""
        return {one.service.name: one.service.address for one in self.running if one.service.address}

    def check(self) -> None:
        """Raise ServiceEnded when one of them does not run any more."""
        for one in self.running:
            if error := one.ended():
                raise error

    def watch(self) -> None:
        """Block until one of them ends, which raises ServiceEnded."""
        while True:
            self.check()
            time.sleep(POLL)


def up(home: Home, services: Services = SERVICES, *, say: Say = print) -> int:
    """Run the stack until Ctrl-C or SIGTERM (0) or until one of it ends (1)."""
    try:
        with run_stack(home, services, say=say) as stack:
            say("All is up. Ctrl-C stops all.")
            stack.watch()
    except KeyboardInterrupt:
        say("Stopped.")
        return 0
    except (ServiceEnded, ServiceStuck) as error:
        say(str(error))
        return 1
    return 0


@contextmanager
def run_stack(home: Home, services: Services = SERVICES, *, say: Say = print) -> Iterator[Stack]:
    """Run `services` on `home` while the block runs; each address is said when it answers.

    Guarantees that all of them answer when the block begins, that SIGTERM and SIGHUP end it as Ctrl-C
    does, and that no process is left when it ended. Raises HomeTaken when another process runs one of them
    on `home`: two daemons would start every run twice.
    """
    with open_instance(home, os.environ):
        pass  # its databases are made once, here, and not by several processes at the same time
    home.logs.mkdir(parents=True, exist_ok=True)
    with _signals(_interrupt), ExitStack() as lifelines:
        for name in services:
            lifelines.enter_context(_claim(home, name))
        running: list[Running] = []
        lifelines.callback(_stop, running)
        made = [make(home) for make in services.values()]
        for service in made:  # one by one: what started is stopped even when the next one fails
            running.append(_start(home, service, addresses=_addresses(home, made)))  # noqa: PERF401
        stack = Stack(running=running)
        _wait_until_ready(stack, say=say)
        yield stack


@contextmanager
def _claim(home: Home, service: str) -> Iterator[None]:
    """Hold the service's name on `home`; a kill lets it go. Raises HomeTaken with the holder's process number."""
    path = home.logs / f"{service}.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise HomeTaken(
                f"its {service} runs already",
                where=str(home.root),
                found=f"process {file.read().strip() or 'unknown'}, which holds {path}",
                expected="one stack a home",
                hint="end it with Ctrl-C, or choose another folder: PERENNIAL_HOME=/another/folder",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _addresses(home: Home, services: Sequence[Service]) -> dict[str, str]:
    """Where the others find each service; an address that a person set, such as a proxy's, stands."""
    unset = home_at(home.root).environment
    settings = {service.address_setting: service.address for service in services if service.address_setting}
    return {name: address for name, address in settings.items() if home.environment[name] == unset[name]}


def _start(home: Home, service: Service, *, addresses: Mapping[str, str]) -> Running:
    log = home.logs / f"{service.name}.log"
    environment = {**os.environ, **home.environment, "MLFLOW_TRACKING_URI": home.mlflow_url, **addresses}
    with log.open("wb") as output:
        lifeline = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "cli.lifeline", *service.command],
            cwd=CLONE,
            env={**environment, **service.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(service=service, lifeline=lifeline, log=log)


def _wait_until_ready(stack: Stack, *, say: Say) -> None:
    deadline = time.monotonic() + PATIENCE
    waiting = list(stack.running)
    while waiting:
        stack.check()
        for one in [one for one in waiting if one.service.ready()]:
            waiting.remove(one)
            say(f"{one.service.title:<16}{one.service.address or 'works'}")
        if waiting and time.monotonic() > deadline:
            raise waiting[0].late()
        time.sleep(POLL)


def _stop(running: Sequence[Running]) -> None:
    """Close every lifeline at once, then wait for all; a second Ctrl-C does not cut this short.

    Raises ServiceStuck, once all were waited for, naming those that did not end.
    """
    with _signals(signal.SIG_IGN):
        for one in running:
            if one.lifeline.stdin:
                one.lifeline.stdin.close()
        stuck = [one for one in running if not _ended(one)]
    if stuck:
        raise ServiceStuck(
            "it did not end",
            where=", ".join(one.service.name for one in stuck),
            found=f"process {', '.join(str(one.lifeline.pid) for one in stuck)} after {4 * GRACE:.0f} s",
            expected="the end of its lifeline",
            hint=f"kill it by its number; its log lies in {stuck[0].log.parent}",
        )


def _ended(one: Running) -> bool:
    try:
        one.lifeline.wait(timeout=4 * GRACE)
    except subprocess.TimeoutExpired:
        return False
    return True


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _signals(handler: "signal.Handlers | Callable[[int, FrameType | None], None]") -> Iterator[None]:
    """Handle the signals that end a command by `handler`; outside the main thread leave them alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {sign: signal.signal(sign, handler) for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for sign, former in before.items():
            signal.signal(sign, former)
