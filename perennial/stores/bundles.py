"""Bundles: the folders of immutable bundles, each named by its sha256 and never overwritten."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from perennial.bundle import Bundle, open_bundle, sha256_of


@dataclass(frozen=True, slots=True)
class BundleStore:
    """The bundles under `root`."""

    root: Path

    def path(self, sha256: str) -> Path:
        """Where the bundle named `sha256` lies, whether or not it exists."""
        return self.root / sha256

    def put(self, files: Mapping[str, bytes]) -> str:
        """Keep a sealed bundle and return its sha256.

        The folder appears whole or not at all, also after a power cut. A bundle that is there already
        is verified and left as it is. Raises BundleError when `files` contradict their manifest.
        """
        sha256 = sha256_of(files)
        open_bundle(files, sha256)
        if self.path(sha256).exists():
            open_bundle(self.path(sha256), sha256)
            return sha256
        self.root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self.root, prefix=".writing-"))
        try:
            self._fill(folder, files)
            _rename(folder, self.path(sha256))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        _sync(self.root)
        return sha256

    def get(self, sha256: str) -> Bundle:
        """The bundle named `sha256`; raises BundleError unless every hash is right."""
        return open_bundle(self.path(sha256), sha256)

    def _fill(self, folder: Path, files: Mapping[str, bytes]) -> None:
        folder.chmod(0o755)
        for name, content in files.items():
            with (folder / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _sync(folder)


def _rename(folder: Path, final: Path) -> None:
    """Move `folder` to its name, unless another process was first with the same bundle."""
    try:
        folder.rename(final)
    except OSError:
        if not final.is_dir():
            raise


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
