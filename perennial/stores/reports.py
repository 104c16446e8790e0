"""Reports: pages kept for people, the newest few."""

from __future__ import annotations

import shutil
from pathlib import Path


def keep_newest(folder: Path, count: int) -> None:
    """Remove all but the `count` last folders by name, which are partition keys, from `folder`."""
    if folder.is_dir():
        for old in sorted(path for path in folder.iterdir() if path.is_dir())[:-count]:
            shutil.rmtree(old)
