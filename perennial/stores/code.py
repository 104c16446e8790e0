"""Code: which commit this process runs, so that a model can name it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Code:
    """The working tree at `root`."""

    root: Path

    @cached_property
    def version(self) -> str:
        """The commit's SHA, with `+changes` when the working tree differs; `unknown` outside a clone."""
        sha = self._git("rev-parse", "HEAD")
        if not sha:
            return "unknown"
        return f"{sha}+changes" if self._git("status", "--porcelain", "--untracked-files=no") else sha

    def _git(self, *arguments: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - fixed arguments
                ["git", "-C", str(self.root), *arguments],  # noqa: S607 - git from the PATH
                capture_output=True,
                text=True,
                check=False,
                timeout=10,
            )
        except OSError:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""
