"""Lifeline: one process tree that ends with the process that asked for it.

`python -m cli.lifeline COMMAND...` runs COMMAND until it exits, or until standard input closes: the
kernel does that when the parent dies, however it dies. Then no process of the tree is left.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

GRACE = 6.0
"""Seconds between asking the command, asking what it left behind, and killing the rest."""
POLL = 0.1
PR_SET_CHILD_SUBREAPER = 36


def main(command: Sequence[str]) -> int:
    """Run `command` as long as standard input is open; return its exit code."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda _number, _frame: None)  # SIG_IGN would be inherited by the command
    _adopt_orphans()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)  # noqa: S603 - our own command
    while child.poll() is None and not _closed():
        pass

    if child.poll() is None:
        child.terminate()
        _wait(lambda: child.poll() is not None)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        _signal_all(child, sign)
        _wait(lambda: not _tree(child))
    return child.wait()


def _closed() -> bool:
    """Whether standard input was closed; waits up to POLL for it."""
    readable, _, _ = select.select([0], [], [], POLL)
    return bool(readable) and not os.read(0, 1)


def _wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GRACE
    while not done() and time.monotonic() < deadline:
        time.sleep(POLL)


def _adopt_orphans() -> None:
    """Make this process the parent of what its descendants leave behind (Linux; elsewhere the group must do)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _signal_all(child: "subprocess.Popen[bytes]", sign: signal.Signals) -> None:
    for pid in _tree(child):
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            continue


def _tree(child: "subprocess.Popen[bytes]") -> list[int]:
    """The living descendants of this process; the dead ones that it adopted are buried first."""
    if not Path("/proc/self/stat").is_file():
        return _group(child)
    child.poll()
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, *_ = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid = int(entry.parent.name)
        if state == "Z" and int(parent) == os.getpid() and pid != child.pid:
            os.waitpid(pid, os.WNOHANG)
        elif state != "Z":
            children.setdefault(int(parent), []).append(pid)
    found: list[int] = []
    level = children.get(os.getpid(), [])
    while level:
        found += level
        level = [pid for parent in level for pid in children.get(parent, [])]
    return found


def _group(child: "subprocess.Popen[bytes]") -> list[int]:
    """Where there is no /proc: the command's process group, while it has a member."""
    child.poll()
    try:
        os.killpg(child.pid, 0)
    except (ProcessLookupError, PermissionError):
        return []
    return [-child.pid]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) % 256)
