"""Servers: a real Redis and a real Postgres of Debian's packages, on free ports of the loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SECONDS_TO_START = 30
OWNER = "postgres"
"""Debian's user of Postgres, which refuses to run as root."""


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Return the address of a Redis that nobody else uses."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server; install Debian's package")
    port = free_port()
    with redis_process(port, binary):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Return the address of a Postgres that nobody else uses: postgresql://postgres@127.0.0.1:PORT/postgres."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not binaries:
        pytest.skip("no Postgres; install Debian's package postgresql")
    with postgres_server(free_port(), binaries[-1].parent) as url:
        yield url


@contextmanager
def redis_process(port: int, binary: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Redis on `port` while the block lasts."""
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with running(command, port) as process:
        yield process


@contextmanager
def postgres_server(port: int, binaries: Path) -> Iterator[str]:
    """Run Postgres on `port` while the block lasts, as a user other than root."""
    folder = Path(tempfile.mkdtemp(prefix="perennial-postgres-"))
    user = OWNER if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user, user)
    data = folder / "data"
    try:
        make = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(make, check=True, capture_output=True, user=user, cwd=folder)
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder), "-F"]
        with running([*command, "-c", "listen_addresses=127.0.0.1"], port, user=user, folder=folder):
            ready = [str(binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
            until = time.monotonic() + SECONDS_TO_START
            while subprocess.run(ready, check=False).returncode:  # it listens before it takes questions
                assert time.monotonic() < until, "Postgres does not become ready"
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(
    command: Sequence[str], port: int, *, user: str | None = None, folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server while the block lasts, from when its port takes connections."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(list(command), stdout=quiet, stderr=quiet, user=user, cwd=folder)
    try:
        until = time.monotonic() + SECONDS_TO_START
        while not listens(port):
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            assert time.monotonic() < until, f"{command[0]} does not listen"
        yield process
    finally:
        process.send_signal(signal.SIGINT)  # Postgres then waits for no client
        process.wait(30)


def listens(port: int) -> bool:
    """Whether something takes connections at `port`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def free_port() -> int:
    """Return a port of the loopback that nothing uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
