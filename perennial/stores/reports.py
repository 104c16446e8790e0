"""Reports: pages kept for people, the newest few, and the address at which a browser opens them."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import quote

from perennial.settings import Home


def keep_newest(folder: Path, count: int) -> None:
    """Remove all but the `count` last folders by name, which are partition keys, from `folder`."""
    if folder.is_dir():
        for old in sorted(path for path in folder.iterdir() if path.is_dir())[:-count]:
            shutil.rmtree(old)


def report_address(home: Home, page: Path) -> str:
    """Where people open `page`, which lies in the folder of reports."""
    return f"{home.reports_ui}/{quote(page.relative_to(home.reports).as_posix())}"
