"""Folders: files that appear on disk together or not at all, and locks between processes.

A process that is killed leaves at most a folder or a link named `.new-…` or `.old-…`; whoever next holds the lock
of the folder around it sweeps it away.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from perennial.errors import PerennialError


def make_home(root: Path) -> None:
    """Make the folder of all state, where it is not there. Raises PerennialError where it cannot be."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PerennialError(
            "the folder of all state cannot be made", where="settings", found=f"{error.strerror} at {root}",
            hint="set PERENNIAL_HOME to a folder that may be written",
        ) from error  # fmt: skip


@contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold `folder`, made if it is not there, against other processes and threads; a kill lets it go."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether `path` is there and ours alone; it does not wait for another process that has it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Make `target` hold exactly `files`; it appears whole, and outlives a power cut.

    The caller holds the lock of the folder around it, and `target` is not there yet.
    """
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    scratch.chmod(0o755)
    for name, content in files.items():
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    for folder in {scratch, *((scratch / name).parent for name in files)}:
        sync(folder)
    scratch.rename(target)
    sync(target.parent)


def remove_folder(target: Path) -> None:
    """Take `target` away; no one ever sees a part of it under its name."""
    doomed = Path(tempfile.mkdtemp(prefix=".old-", dir=target.parent)) / target.name
    target.rename(doomed)
    shutil.rmtree(doomed.parent, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in `folder`, whose lock the caller holds."""
    for left in [*folder.glob(".new-*"), *folder.glob(".old-*")]:
        if left.is_symlink():
            left.unlink(missing_ok=True)
        else:
            shutil.rmtree(left, ignore_errors=True)


def sync(folder: Path) -> None:
    """Let the names in `folder` outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
