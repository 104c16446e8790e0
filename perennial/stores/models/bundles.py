"""Bundles: the folders of immutable bundles, each named by its sha256 and never overwritten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from perennial.bundle.bundle import Bundle, open_bundle, sha256_of
from perennial.stores.folders import locked, sweep, write_folder


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
        is verified, and its files are left as they are. Raises BundleError when `files` contradict their manifest.
        """
        sha256 = sha256_of(files)
        open_bundle(files, sha256)
        with locked(self.root):
            sweep(self.root)
            if self.path(sha256).exists():
                open_bundle(self.path(sha256), sha256)
                self.path(sha256).touch()  # as young as a new one: the clean-up gives its maker time to name it
            else:
                write_folder(self.path(sha256), files)
        return sha256

    def get(self, sha256: str) -> Bundle:
        """The bundle named `sha256`; raises BundleError unless every hash is right."""
        return open_bundle(self.path(sha256), sha256)
